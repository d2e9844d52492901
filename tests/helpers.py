"""What many test files need: gradients on any backend, random arrays, small models."""

import keras
import numpy as np
from keras import ops


def random_array(*shape, seed=0, scale=1.0, dtype="float32"):
    """Standard normal values, the same for the same seed."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def value_and_gradients(function, variables=(), inputs=()):
    """Value of a scalar function and its gradients, on the active backend.

    Args:
        function: takes one tensor per input and returns a scalar.
        variables: Keras variables to differentiate by.
        inputs: NumPy arrays that are passed to `function` and differentiated by.

    Returns:
        `(value, variable_gradients, input_gradients)` as NumPy; a gradient that
        does not exist is `None` (TensorFlow, torch) or zeros (JAX).
    """
    backend = keras.backend.backend()
    variables, inputs = list(variables), [ops.convert_to_tensor(i) for i in inputs]
    solve = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend]
    value, gradients = solve(function, variables, inputs)
    gradients = [None if g is None else ops.convert_to_numpy(g) for g in gradients]
    split = len(variables)
    return float(ops.convert_to_numpy(value)), gradients[:split], gradients[split:]


def _tensorflow(function, variables, inputs):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    sources = [v.value for v in variables] + inputs
    return value, tape.gradient(value, sources)


def _jax(function, variables, inputs):
    import jax

    def pure(values, arrays):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*arrays)

    values = [v.value for v in variables]
    value, (by_variable, by_input) = jax.value_and_grad(pure, argnums=(0, 1))(values, inputs)
    return value, [*by_variable, *by_input]


def _torch(function, variables, inputs):
    import torch

    inputs = [i.detach().requires_grad_(i.is_floating_point()) for i in inputs]
    sources = [v.value for v in variables] + inputs
    value = function(*inputs)
    return value.detach(), torch.autograd.grad(value, sources, allow_unused=True)
