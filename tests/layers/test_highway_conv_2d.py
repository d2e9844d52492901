import keras
import numpy as np
import pytest

from kzoo.layers import HighwayConv2D
from kzoo.testing.subjects import numpy
from tests.helpers import random_array


def built(kernel_size=3, shape=(None, 7, 5, 4), **arguments):
    layer = HighwayConv2D(kernel_size, **arguments)
    layer.build(shape)
    return layer


def test_formula_with_a_1x1_kernel_against_numpy():
    layer, x = built(1, activation="tanh"), random_array(2, 7, 5, 4)
    w, b, w_gate, b_gate = (numpy(v) for v in layer.weights)
    gate = 1 / (1 + np.exp(-(x @ w_gate[0, 0] + b_gate)))
    expected = np.tanh(x @ w[0, 0] + b) * gate + x * (1 - gate)
    assert np.allclose(numpy(layer(x)), expected, atol=1e-5)
    assert np.all(b_gate == -2)


@pytest.mark.parametrize("kernel_size", [3, (5, 2)])
def test_the_ends_of_the_gate_are_exact(kernel_size):
    x = random_array(2, 7, 5, 4)
    closed = built(kernel_size, transform_bias=-200.0)
    assert np.array_equal(numpy(closed(x)), x)
    plain = built(kernel_size, transform_bias=200.0)
    convolution = keras.layers.Conv2D(4, kernel_size, padding="same", activation="relu")
    convolution.build(x.shape)
    convolution.set_weights(plain.transform.get_weights())
    assert np.array_equal(numpy(plain(x)), numpy(convolution(x)))


def test_a_closed_gate_is_the_identity_within_the_bound():
    layer, x = built(transform_bias=-8.0), random_array(2, 7, 5, 4)
    layer.gate.kernel.assign(np.zeros((3, 3, 4, 4)))
    distance = np.abs(numpy(layer(x)) - x).max()
    reach = np.abs(numpy(layer.transform(x)) - x).max()
    assert 0 < distance <= reach / (1 + np.exp(8)) + 1e-6


def test_mean_gate_at_the_start():
    layer = built(shape=(None, 7, 5, 32))
    gate = numpy(layer.gate(random_array(16, 7, 5, 32, scale=0.1)))
    assert gate.mean() == pytest.approx(0.119, abs=0.005)


def test_transform_and_gate_start_with_different_kernels():
    layer = built()
    assert not np.allclose(numpy(layer.transform.kernel), numpy(layer.gate.kernel), atol=1e-3)


def test_parameters_and_regulariser():
    layer = built(kernel_regularizer="l2")
    assert layer.count_params() == 2 * (9 * 4 * 4 + 4)
    assert len(layer.losses) == 2


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="no channels_first convolution on the CPU"
)
def test_channels_first():
    last, first = built(), built(shape=(None, 4, 7, 5), data_format="channels_first")
    first.set_weights(last.get_weights())
    x = random_array(2, 7, 5, 4)
    moved = numpy(first(x.transpose(0, 3, 1, 2))).transpose(0, 2, 3, 1)
    assert np.allclose(moved, numpy(last(x)), atol=1e-5)


@pytest.mark.parametrize("kernel_size", [0, (3,), (3, -1), "3", 2.5])
def test_bad_kernel_size(kernel_size):
    with pytest.raises(ValueError, match="`kernel_size` must be a positive integer or two"):
        HighwayConv2D(kernel_size)


def test_unknown_channels():
    with pytest.raises(ValueError, match="HighwayConv2D gives as many features as it gets"):
        HighwayConv2D(3).build((None, 8, 8, None))
