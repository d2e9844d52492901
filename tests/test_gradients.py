"""Gradients by an input: the same on every backend, and closed to what is around them."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.gradients import input_gradient
from tests.examples import run_example
from tests.helpers import random_array, value_and_gradients


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_a_cube_has_three_squares():
    x = random_array(3, 2)
    np.testing.assert_allclose(numpy(input_gradient(lambda x: ops.sum(x**3), x)), 3 * x**2, 1e-5)


def test_values_of_samples_are_summed():
    x = random_array(4, 3)
    found = input_gradient(lambda x: ops.sum(ops.sin(x), axis=1), x)
    np.testing.assert_allclose(numpy(found), np.cos(x), rtol=1e-5, atol=1e-6)


def test_what_else_the_function_returns_comes_back():
    x = random_array(2, 3)
    gradient, (double, square) = input_gradient(
        lambda x: (ops.sum(x), (2 * x, x**2)), x, has_aux=True
    )
    np.testing.assert_array_equal(numpy(gradient), np.ones_like(x))
    np.testing.assert_allclose(numpy(double), 2 * x)
    np.testing.assert_allclose(numpy(square), x**2, rtol=1e-6)


def test_gathered_inputs():
    x = random_array(3, 2)
    found = input_gradient(lambda x: ops.sum(ops.take(x, [0, 0, 2], axis=0)), x)
    np.testing.assert_array_equal(numpy(found), [[2, 2], [0, 0], [1, 1]])


@pytest.mark.parametrize("function", [lambda x: ops.ones((2,)), lambda x: 0 * ops.sum(x)])
def test_no_dependence_is_zero(function):
    np.testing.assert_array_equal(numpy(input_gradient(function, random_array(2, 3))), 0)


def test_integers_are_refused():
    with pytest.raises(ValueError, match=r"Cast `x` to float32 first.*int32"):
        input_gradient(ops.sum, np.ones(3, "int32"))


def test_the_outer_gradient_sees_a_constant():
    """d/dx of x · g(x) with g fixed is g, not 2 g; the weight of the function gets nothing."""
    x = random_array(2, 3)
    dense = keras.layers.Dense(1, name="dense")
    dense.build((None, 3))

    def outer(x):
        gradient, value = input_gradient(lambda x: (dense(x) ** 2, dense(x)), x, has_aux=True)
        return ops.sum(x * gradient) + ops.sum(value)

    _, by_weight, (by_input,) = value_and_gradients(outer, dense.trainable_variables, [x])
    expected = numpy(input_gradient(lambda x: dense(x) ** 2, x))
    np.testing.assert_allclose(by_input, expected, rtol=1e-5)
    assert np.abs(expected).max() > 0
    assert all(g is None or not g.any() for g in by_weight)


def test_it_stands_in_a_loop():
    """Ten steps of gradient descent on (x − 1)² halve the distance each."""
    x = ops.convert_to_tensor(random_array(2, 3))

    def step(x):
        return (x - 0.25 * input_gradient(lambda x: (x - 1) ** 2, x),)

    (found,) = ops.while_loop(lambda x: True, step, (x,), maximum_iterations=10)
    np.testing.assert_allclose(numpy(found) - 1, (numpy(x) - 1) / 2**10, atol=1e-6)


def test_the_example():
    run_example(input_gradient)
