import math

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import registry
from kzoo.applications import PReLUNet
from kzoo.layers.prelu import PReLU
from tests.helpers import random_array


def closed_form(filters=32, shared="channel", channels=3, classes=10):
    """Each convolution has a bias and a PReLU: k^2 c_in c_out + c_out + slopes."""
    f = filters
    layers = [(9, channels, f), (4, f, 2 * f), *[(4, 2 * f, 2 * f)] * 3]
    layers += [(4, 2 * f, 4 * f), *[(4, 4 * f, 4 * f)] * 5]
    slopes = (lambda out: out) if shared == "channel" else (lambda out: 1)
    total = sum(area * c * out + out + slopes(out) for area, c, out in layers)
    return total + (4 * f + 1) * classes


@pytest.mark.parametrize(
    "args", [{"filters": 3, "shared": "all"}, {"filters": 2, "classes": 3}], ids=str
)
def test_parameters(args):
    assert PReLUNet(**args).count_params() == closed_form(**args)


def test_declared_parameters_follow_the_closed_form():
    declared = registry.get("application", "PReLUNet").facts["parameters"]
    assert [count for _, count in declared] == [closed_form(**args) for args, _ in declared]


def test_layers_and_slopes():
    model = PReLUNet(filters=4)
    slopes = [layer.negative_slope for layer in model.layers if isinstance(layer, PReLU)]
    assert len(slopes) == 1 + 4 + 6
    assert [slope.shape[-1] for slope in slopes] == [4] + [8] * 4 + [16] * 6
    for slope in slopes:
        np.testing.assert_array_equal(ops.convert_to_numpy(slope), 0.25)
        assert slope.name == "negative_slope"
        assert slope.regularizer is None
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert [layer.kernel_size[0] for layer in convolutions] == [3] + [2] * 10


def test_initial_kernels():
    model = PReLUNet(filters=32)
    kernel = ops.convert_to_numpy(model.get_layer("stage2_conv6").kernel)
    std = math.sqrt(2 / ((1 + 0.25**2) * 4 * 128))
    assert abs(kernel.std() / std - 1) < 0.02
    assert np.abs(kernel).max() > 3 * std
    other = ops.convert_to_numpy(model.get_layer("stage2_conv5").kernel)
    assert abs(np.corrcoef(kernel.ravel(), other.ravel())[0, 1]) < 0.05
    logits = ops.convert_to_numpy(model.get_layer("logits").kernel)
    assert abs(logits.std() * math.sqrt(128) - 1) < 0.1


def test_variance_survives_the_depth():
    """The second moment of the signal changes by less than a factor 4 in ten convolutions."""
    model = PReLUNet(filters=32, input_shape=(32, 32, 3))
    inner = keras.Model(model.get_layer("stage2_conv1").output, model.get_layer("stage2").output)
    first = random_array(2, 8, 8, 128)
    inside = ops.convert_to_numpy(inner(first))[:, :3, :3]
    expected = np.mean(np.where(first > 0, first, 0.25 * first) ** 2)
    assert 0.25 < np.mean(inside**2) / expected < 4


def test_sizes_of_the_maps():
    model = PReLUNet(filters=4, input_shape=(32, 28, 3))
    found = {name: model.get_layer(name).output.shape[1:] for name in ("stem", "stage1", "stage2")}
    assert found == {"stem": (32, 28, 4), "stage1": (16, 14, 8), "stage2": (8, 7, 16)}


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`filters` must be a positive integer"):
        PReLUNet(filters=2.0)
    with pytest.raises(ValueError, match='`shared` must be "channel" or "all"'):
        PReLUNet(shared="none")
