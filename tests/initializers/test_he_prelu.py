import math

import keras
import numpy as np
import pytest

from kzoo.initializers import HePReLU
from kzoo.testing.subjects import numpy

DEPTH, WIDTH, BATCH = 30, 512, 128


def variance_ratio(slope, corrected, seed):
    """Variance of layer 30 over that of layer 1 of a plain network with PReLU."""
    rng = np.random.default_rng(seed)
    x, variances = rng.standard_normal((BATCH, WIDTH)).astype("float32"), []
    for layer in range(DEPTH):
        initializer = HePReLU(slope if corrected else 0.0, seed=1000 * seed + layer)
        y = x @ numpy(initializer((WIDTH, WIDTH)))
        variances.append(y.var())
        x = np.where(y > 0, y, slope * y)
    return variances[-1] / variances[0]


@pytest.mark.parametrize(
    ("slope", "corrected", "theory"),
    [
        (0.25, True, 1.0),
        (0.25, False, 1.0625**29),
        (0.0, True, 1.0),
    ],
)
def test_variance_through_30_layers(slope, corrected, theory):
    ratio = variance_ratio(slope, corrected, seed=1)
    assert abs(math.log(ratio / theory)) < 1.0


def test_the_correction_is_what_theory_says():
    # PReLU is homogeneous and the seeds are equal, so the two ratios differ by the factor alone.
    factor = variance_ratio(0.25, False, seed=2) / variance_ratio(0.25, True, seed=2)
    assert factor == pytest.approx(1.0625**29, rel=1e-3)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 9 * 32), ("fan_out", 9 * 64)])
def test_variance_of_a_convolution_kernel(mode, fan):
    kernel = numpy(HePReLU(0.5, mode, seed=3)((3, 3, 32, 64)))
    expected = 2 / (1.25 * fan)
    assert abs(kernel.var() / expected - 1) < 5 * math.sqrt(2 / kernel.size)


def test_the_normal_is_not_truncated():
    # he_normal ends at 2.27 standard deviations, a normal of this size passes 4.
    kernel = numpy(HePReLU(seed=4)((512, 512)))
    assert np.abs(kernel).max() > 4 * kernel.std()


def test_slope_zero_is_he_and_the_sign_does_not_matter():
    he = keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed=5)
    assert np.allclose(HePReLU(0, seed=5)((8, 8)), he((8, 8)))
    assert np.array_equal(HePReLU(-0.3, seed=5)((8, 8)), HePReLU(0.3, seed=5)((8, 8)))


def test_a_seed_generator_draws_anew_and_survives_the_config():
    initializer = HePReLU(seed=keras.random.SeedGenerator(6))
    first, second = initializer((4, 4)), initializer((4, 4))
    assert not np.array_equal(first, second)
    revived = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(initializer)
    )
    assert np.array_equal(revived((4, 4)), first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"negative_slope": float("nan")}, "`negative_slope` must be a finite number"),
        ({"negative_slope": "0.25"}, "`negative_slope` must be a finite number"),
        ({"mode": "fan_avg"}, '`mode` must be "fan_in" or "fan_out"'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HePReLU(**arguments)
