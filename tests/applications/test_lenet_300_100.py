import math

import numpy as np
from keras import ops

from kzoo.applications import LeNet300100
from tests.helpers import random_array


def test_parameters():
    assert LeNet300100().count_params() == 785 * 300 + 301 * 100 + 101 * 10 == 266_610


def test_against_numpy():
    model = LeNet300100(input_shape=(4, 5, 2), classes=3)
    images = random_array(6, 4, 5, 2)
    x = images.reshape(6, -1).astype("float64")
    for name in ("hidden1", "hidden2"):
        kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer(name).weights)
        x = np.maximum(x @ kernel + bias, 0)
    kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer("logits").weights)
    x = np.exp(x @ kernel + bias)
    expected = x / x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ops.convert_to_numpy(model(images)), expected, atol=1e-6)


def test_initial_kernels_are_glorot_normal():
    model = LeNet300100()
    for name, fans in (("hidden1", 1084), ("hidden2", 400)):
        kernel = ops.convert_to_numpy(model.get_layer(name).kernel)
        assert abs(kernel.std() / math.sqrt(2 / fans) - 1) < 0.02
        assert np.abs(kernel).max() > 2 * kernel.std(), "a uniform one ends at 1.73 deviations"


def test_without_the_top_it_ends_with_the_vector():
    model = LeNet300100(include_top=False, pooling="avg", input_shape=(8, 8, 1))
    assert model.output_shape == (None, 100)
    assert model.layers[-1].name == "pooled"
