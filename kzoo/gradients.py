"""Gradients by an input, on whichever backend Keras runs."""

import keras
from keras import ops


def input_gradient(function, x, has_aux=False):
    """The gradient of `sum(function(x))` by `x`.

    For losses that move their inputs, such as attacks. The result is a constant to whatever is
    differentiated around it, and the weights that `function` uses gather no gradient. `function`
    must not update variables: read networks at inference.

    Args:
        function: takes a tensor like `x` and returns a scalar or one value per sample. The gradient
            of one sample is that of its own value as long as the samples do not mix.
        x: a tensor or array of floats.
        has_aux: whether `function` returns a pair, the value and something more to hand back.

    Returns:
        A tensor of the shape of `x`, zeros where `function` does not depend on it; with `has_aux`
        the pair of that and what `function` returned beside its value.

    Raises:
        ValueError: where `x` holds no floats.

    Example:

    ```python
    import numpy as np
    from keras import ops
    from kzoo.gradients import input_gradient

    x = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    input_gradient(lambda x: ops.sum(x**2, axis=1), x)  # [[2, 4], [6, 8]]
    ```
    """
    x = ops.stop_gradient(ops.convert_to_tensor(x))
    if not keras.backend.is_float_dtype(x.dtype):
        raise ValueError(
            f"Only floats have gradients. Cast `x` to float32 first. Received: {x.dtype}"
        )

    def total(x):
        value, aux = function(x) if has_aux else (function(x), None)
        return ops.sum(value), aux

    solvers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    gradient, aux = solvers[keras.backend.backend()](total, x)
    gradient = ops.stop_gradient(gradient)
    return (gradient, keras.tree.map_structure(ops.stop_gradient, aux)) if has_aux else gradient


def _tensorflow(total, x):
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        value, aux = total(x)
    gradient = tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.convert_to_tensor(gradient), aux


def _jax(total, x):
    import jax

    return jax.grad(total, has_aux=True)(x)


def _torch(total, x):
    import torch

    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        value, aux = total(x)
        if not value.requires_grad:
            return torch.zeros_like(x), aux
        (gradient,) = torch.autograd.grad(value, [x], allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient, aux
