import math

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.applications import LeNet5
from kzoo.applications.lenet5 import preprocess_input
from tests.helpers import random_array


def test_parameters_layer_by_layer():
    for size in (32, 28):
        model = LeNet5(input_shape=(size, size, 1))
        counts = {layer.name: layer.count_params() for layer in model.layers}
        assert {name: n for name, n in counts.items() if n} == {
            "c1": 6 * (25 + 1),
            "c3": 16 * (6 * 25 + 1),
            "c5": 120 * (16 * 25 + 1),
            "f6": 84 * (120 + 1),
            "logits": 10 * (84 + 1),
        }
        assert model.count_params() == 61_706


def test_sizes_of_the_maps_are_the_papers():
    model = LeNet5()
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["stage1"] == (28, 28, 6)
    assert shapes["s2"] == (14, 14, 6)
    assert shapes["stage2"] == (10, 10, 16)
    assert shapes["s4"] == (5, 5, 16)
    assert shapes["pooled"] == (84,)


def test_28_is_32_with_a_margin_of_zeros():
    large, small = LeNet5(), LeNet5(input_shape=(28, 28, 1))
    small.set_weights(large.get_weights())
    images = random_array(2, 28, 28, 1)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(small(images)), ops.convert_to_numpy(large(padded)), atol=1e-6
    )


def test_against_numpy():
    model = LeNet5(input_shape=(32, 35, 2))
    x = random_array(1, 32, 35, 2)
    expected = x[0].astype("float64")
    for name in ("c1", "c3"):
        kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer(name).weights)
        windows = np.lib.stride_tricks.sliding_window_view(expected, (5, 5), axis=(0, 1))
        expected = np.tanh(np.einsum("hwcij,ijco->hwo", windows, kernel) + bias)
        h, w, c = (expected.shape[0] // 2, expected.shape[1] // 2, expected.shape[2])
        expected = expected[: 2 * h, : 2 * w].reshape(h, 2, w, 2, c).mean(axis=(1, 3))
    expected = expected.ravel()
    for name in ("c5", "f6", "logits"):
        kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer(name).weights)
        expected = expected @ kernel + bias
        if name != "logits":
            expected = np.tanh(expected)
    expected = np.exp(expected) / np.exp(expected).sum()
    np.testing.assert_allclose(ops.convert_to_numpy(model(x))[0], expected, atol=1e-6)


def test_without_the_top_the_size_may_be_open():
    model = LeNet5(include_top=False)
    assert model.output_shape == (None, None, None, 16)
    assert model(random_array(1, 40, 33, 1)).shape == (1, 7, 5, 16)
    assert math.isclose(model.count_params(), 156 + 2416)


def test_activation():
    model = LeNet5(activation="relu")
    names = ("stage1", "stage2", "c5_activation", "pooled")
    assert {model.get_layer(name).activation for name in names} == {keras.activations.relu}
    with pytest.raises(ValueError, match="thanh"):
        LeNet5(activation="thanh")


def test_preprocess_input_has_the_papers_range():
    x = preprocess_input(np.array([[[[0], [255]]]], "uint8"))
    np.testing.assert_allclose(x.ravel(), [-0.1, 1.175], atol=1e-6)
