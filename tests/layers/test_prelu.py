import keras
import numpy as np
import pytest
from keras import ops

from kzoo.layers import PReLU
from kzoo.testing.subjects import numpy
from tests.helpers import random_array, value_and_gradients


def test_values_by_hand():
    y = PReLU()(np.array([[-4.0, 0.0, 2.0]], "float32"))
    assert np.array_equal(numpy(y), [[-1.0, 0.0, 2.0]])


def test_gradients_by_hand():
    layer = PReLU()
    layer.build((None, 2))
    layer.negative_slope.assign([0.5, -1.0])
    x = np.array([[-4.0, -3.0], [2.0, 0.0]], "float32")
    value, (slope,), (inputs,) = value_and_gradients(
        lambda x: ops.sum(layer(x)), layer.trainable_weights, [x]
    )
    assert value == -2.0 + 3.0 + 2.0
    assert np.array_equal(slope, [-4.0, -3.0])
    assert np.array_equal(inputs, [[0.5, -1.0], [1.0, -1.0]])


@pytest.mark.parametrize(
    ("arguments", "input_shape", "expected"),
    [
        ({}, (None, 9, 5, 3), (1, 1, 3)),
        ({}, (None, None, None, 3), (1, 1, 3)),
        ({}, (None, 3), (3,)),
        ({}, (None, 7, 3), (1, 3)),
        ({"data_format": "channels_first"}, (None, 3, 9, 5), (3, 1, 1)),
        ({"data_format": "channels_first"}, (None, 3), (3,)),
        ({"shared": "all"}, (None, 9, 5, 3), ()),
        ({"shared": "all"}, (None, None), ()),
    ],
)
def test_slope_shape_and_start(arguments, input_shape, expected):
    layer = PReLU(**arguments)
    layer.build(input_shape)
    (slope,) = layer.weights
    assert slope.shape == expected
    assert np.all(numpy(slope) == 0.25)


def test_each_channel_has_its_own_slope():
    layer = PReLU()
    layer.build((None, 4, 5, 3))
    layer.negative_slope.assign([[[0.0, 1.0, 2.0]]])
    x = random_array(2, 4, 5, 3)
    expected = np.maximum(x, 0) + np.array([0.0, 1.0, 2.0]) * np.minimum(x, 0)
    assert np.allclose(numpy(layer(x)), expected, atol=1e-6)
    first = PReLU(data_format="channels_first")
    first.build((None, 3, 4, 5))
    first.negative_slope.assign(np.reshape([0.0, 1.0, 2.0], (3, 1, 1)))
    moved = numpy(first(x.transpose(0, 3, 1, 2)))
    assert np.allclose(moved.transpose(0, 2, 3, 1), expected, atol=1e-6)


@pytest.mark.parametrize("shared", ["channel", "all"])
@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras.optimizers.AdamW])
def test_weight_decay_can_be_kept_off_the_slope(shared, make):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), PReLU(shared)])
    optimizer = make(learning_rate=0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["negative_slope"])
    kernel, _, slope = model.trainable_variables
    before = numpy(kernel).copy()
    optimizer.apply(
        [ops.zeros_like(v.value) for v in model.trainable_variables], model.trainable_variables
    )
    assert np.all(numpy(slope) == 0.25)
    assert np.allclose(numpy(kernel), 0.95 * before)


def test_no_regulariser_reaches_the_slope():
    with pytest.raises(ValueError, match="alpha_regularizer"):
        PReLU(alpha_regularizer="l2")
    layer = PReLU()
    layer.build((None, 3))
    assert layer.negative_slope.regularizer is None
    assert layer.negative_slope.constraint is None


def test_bad_arguments():
    with pytest.raises(ValueError, match='`shared` must be "channel" or "all"'):
        PReLU("pixel")
    with pytest.raises(ValueError, match="`data_format` must be"):
        PReLU(data_format="NHWC")
    with pytest.raises(ValueError, match="known number of channels"):
        PReLU().build((None, None))
