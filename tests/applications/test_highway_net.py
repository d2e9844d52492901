import keras
import numpy as np
import pytest
from keras import ops

from kzoo.applications import HighwayNet
from tests.helpers import random_array


@pytest.mark.parametrize(("depth", "published"), [(10, 80_560), (100, 539_560)])
def test_closed_form_gives_the_published_counts(depth, published):
    assert 785 * 50 + (depth - 2) * 2 * 51 * 50 + 51 * 10 == published


@pytest.mark.parametrize(("depth", "width"), [(3, 4), (6, 7)])
def test_parameters(depth, width):
    model = HighwayNet(depth, width, input_shape=(5, 6, 2), classes=3)
    expected = 61 * width + (depth - 2) * 2 * (width + 1) * width + (width + 1) * 3
    assert model.count_params() == expected


def test_closed_gates_carry_the_stem_to_the_classifier():
    images = random_array(4, 8, 8, 1)
    for bias, same in ((-40.0, True), (0.0, False)):
        model = HighwayNet(depth=12, width=8, transform_bias=bias, input_shape=(8, 8, 1))
        taps = [model.get_layer(name).output for name in ("stem", "stage1", "pooled")]
        stem, stage1, pooled = (
            ops.convert_to_numpy(x) for x in keras.Model(model.input, taps)(images)
        )
        assert np.allclose(stem, stage1, atol=1e-6) is same
        np.testing.assert_array_equal(stage1, pooled)


def test_signal_survives_fifty_layers():
    model = HighwayNet(depth=50, width=16, transform_bias=-4.0, input_shape=(8, 8, 1))
    inner = keras.Model(model.get_layer("stem").output, model.get_layer("stage1").output)
    x = random_array(32, 16)
    assert np.std(ops.convert_to_numpy(inner(x))) > 0.3 * np.std(x)


def test_arguments_reach_the_layers():
    model = HighwayNet(depth=4, width=3, activation="tanh", transform_bias=-2.5)
    layer = model.get_layer("stage1")
    assert layer.activation is keras.activations.tanh
    assert model.get_layer("stem").activation is keras.activations.tanh
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.gate.bias), -2.5)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.transform.bias), 0.0)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`depth` must be an integer of at least 3"):
        HighwayNet(depth=2)
    with pytest.raises(ValueError, match="`width` must be a positive integer"):
        HighwayNet(width=0)
