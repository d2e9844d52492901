import math

import numpy as np
import pytest
from keras import ops

from kzoo.applications import HighwayConvNet
from kzoo.layers.highway_conv_2d import HighwayConv2D
from tests.helpers import random_array


def shapes(model):
    return {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}


@pytest.fixture(scope="module")
def mnist():
    return HighwayConvNet()


@pytest.fixture(scope="module")
def cifar():
    return HighwayConvNet("cifar")


def test_mnist_has_the_map_sizes_of_the_authors_log(mnist):
    found = shapes(mnist)
    assert found["stem"] == found["stage1"] == (24, 24, 32)
    assert found["stage2"] == (12, 12, 32)
    assert found["stage3"] == (6, 6, 32)
    assert found["stage3_pool"] == (3, 3, 32)
    assert found["pooled"] == (32,)


def test_cifar_has_the_map_sizes_of_the_authors_log(cifar):
    found = shapes(cifar)
    assert found["stem"] == found["stage1"] == (32, 32, 32)
    assert found["stage2"] == (16, 16, 80)
    assert found["stage3_highway5"] == (8, 8, 128)
    assert found["stage3"] == (8, 8, 100)
    assert found["pooled"] == (100,)


def test_parameters(mnist, cifar):
    def highway(channels):
        return 2 * (9 * channels + 1) * channels

    small = 26 * 32 + 8 * highway(32)
    assert mnist.count_params() == small + 33 * 10 == 149_130
    large = 28 * 32 + 4 * highway(32) + 289 * 80 + 5 * highway(80)
    large += 721 * 128 + 5 * highway(128) + 129 * 100
    assert cifar.count_params() == large + 101 * 10 == 2_256_838


def test_flattened_top_is_that_of_the_authors_file():
    model = HighwayConvNet(flatten=True)
    assert model.get_layer("pooled").output.shape == (None, 3 * 3 * 32)
    assert model.count_params() == 149_130 + (288 - 32) * 10


def test_number_of_layers_and_biases_of_the_gates(mnist, cifar):
    for model, number, bias in ((mnist, 8, -1.0), (cifar, 14, -2.0)):
        layers = [layer for layer in model.layers if isinstance(layer, HighwayConv2D)]
        assert len(layers) == number
        for layer in layers:
            np.testing.assert_array_equal(ops.convert_to_numpy(layer.gate.bias), bias)
    changed = HighwayConvNet(transform_bias=-3.0, input_shape=(8, 8, 1)).get_layer("stage3")
    np.testing.assert_array_equal(ops.convert_to_numpy(changed.gate.bias), -3.0)


def test_kernels_start_as_caffes_xavier(cifar):
    kernel = ops.convert_to_numpy(cifar.get_layer("stage3_highway2").transform.kernel)
    bound = math.sqrt(3 / (9 * 128))
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert abs(kernel.std() * math.sqrt(9 * 128) - 1) < 0.02


def test_any_size_with_the_pooled_top():
    model = HighwayConvNet(input_shape=(None, None, 1))
    for size in ((8, 8), (11, 17)):
        assert model(random_array(1, *size, 1)).shape == (1, 10)


def test_dropout_only_in_training(mnist):
    images = random_array(2, 28, 28, 1)
    first, second = (ops.convert_to_numpy(mnist(images, training=False)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    noisy = ops.convert_to_numpy(mnist(images, training=True))
    assert np.abs(noisy - first).max() > 1e-3
    rates = [layer.rate for layer in mnist.layers if "dropout" in layer.name]
    assert rates == [0.2, 0.3, 0.4, 0.5]


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"Unknown `variant`: 'cifar10'\. Did you mean 'cifar'\?"):
        HighwayConvNet("cifar10")
