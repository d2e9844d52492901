"""Gradients of a scalar function on whichever backend Keras runs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def value_and_gradients(
    function: Callable[..., Any],
    variables: Iterable[keras.Variable] = (),
    inputs: Sequence[np.ndarray] = (),
) -> tuple[float, list, list]:
    """Value of a scalar function and its gradients, on the active backend.

    Args:
        function: takes one tensor per input and returns a scalar.
        variables: Keras variables to differentiate by.
        inputs: NumPy arrays that are passed to `function` and differentiated by.

    Returns:
        `(value, variable_gradients, input_gradients)` as NumPy; a gradient that
        does not exist is `None` (TensorFlow, torch) or zeros (JAX).
    """
    variables, inputs = list(variables), [ops.convert_to_tensor(i) for i in inputs]
    solvers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    value, gradients = solvers[keras.backend.backend()](function, variables, inputs)
    gradients = [None if g is None else ops.convert_to_numpy(g) for g in gradients]
    split = len(variables)
    return float(ops.convert_to_numpy(value)), gradients[:split], gradients[split:]


def _tensorflow(function, variables, inputs):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    sources = [v.value for v in variables] + inputs
    gradients = tape.gradient(value, sources)
    return value, [None if g is None else tf.convert_to_tensor(g) for g in gradients]


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
    if not value.requires_grad:
        return value, [None] * len(sources)
    return value.detach(), torch.autograd.grad(value, sources, allow_unused=True)
