"""OverhaulFeature: the partial distance by hand, margins by integration, where they come from."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo.losses import OverhaulFeature, overhaul_feature
from kzoo.losses._features import pool_to
from kzoo.losses.overhaul_feature import STANDARD_MARGIN, margin_from_normalization
from tests.helpers import random_array, value_and_gradients


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def maps(*values):
    return np.array(values, "float32").reshape(1, 1, -1, 1)


@pytest.mark.parametrize(
    ("teacher", "student", "value", "slope"),
    [
        (2.0, 0.5, 2.25, -3.0),
        (2.0, 3.0, 1.0, 2.0),
        (-0.2, -0.7, 0.0, 0.0),
        (-0.2, 0.3, 0.25, 1.0),
        (-5.0, -2.0, 0.0, 0.0),
        (-5.0, -0.5, 0.25, 1.0),
        (0.0, -4.0, 0.0, 0.0),
    ],
)
def test_the_partial_distance_with_a_margin_of_minus_one(teacher, student, value, slope):
    found, _, (_, gradient) = value_and_gradients(
        lambda t, s: ops.sum(overhaul_feature(t, s, margins=[-1.0])),
        inputs=[maps(teacher), maps(student)],
    )
    assert found == pytest.approx(value, abs=1e-6)
    assert gradient.item() == pytest.approx(slope, abs=1e-6)


def test_deeper_stages_count_double_and_maps_are_summed():
    teacher, student = [np.ones((1, 2, 3, 4), "float32")] * 3, [np.ones((1, 2, 3, 4))] * 3
    values = []
    for stage in range(3):
        changed = list(student)
        changed[stage] = np.zeros((1, 2, 3, 4), "float32")
        values.append(float(overhaul_feature(teacher, changed)[0]))
    assert values == [6.0, 12.0, 24.0]
    assert OverhaulFeature("a", "b").weight == 0.001


def test_unlike_sizes_meet_at_the_smaller():
    teacher, student = random_array(2, 5, 3, 2), random_array(2, 7, 8, 2, seed=1)
    expected = overhaul_feature(teacher, pool_to(student, 5, 3))
    np.testing.assert_allclose(numpy(overhaul_feature(teacher, student)), numpy(expected))


def negative_mean(gamma, beta):
    """The mean of a normal below 0, by integration."""
    x = np.linspace(beta - 12 * abs(gamma), 0.0, 400_001)
    density = np.exp(-((x - beta) ** 2) / (2 * gamma**2))
    return np.trapezoid(x * density, x) / np.trapezoid(density, x)


@pytest.mark.parametrize(
    ("gamma", "beta"), [(1.0, 0.0), (0.5, 0.3), (-2.0, 1.0), (0.1, -0.7), (1.0, 3.0)]
)
def test_margins_are_the_mean_of_the_negative_half(gamma, beta):
    found = margin_from_normalization([gamma], [beta])
    np.testing.assert_allclose(found, [negative_mean(gamma, beta)], rtol=1e-4)


def test_margins_of_channels_that_are_hardly_or_always_positive():
    found = margin_from_normalization([0.5, -0.5, 0.0, 0.0, 1e-6], [5.0, 5.0, 2.0, -2.0, -3.0])
    np.testing.assert_allclose(found, [-1.5, -1.5, 0.0, -2.0, -3.0], rtol=1e-5)
    assert margin_from_normalization([1.0], [0.0])[0] == pytest.approx(STANDARD_MARGIN)


def teacher_model(normalized=True, scale=True):
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, name="conv")(inputs)
    if normalized:
        x = layers.BatchNormalization(name="norm", scale=scale)(x)
    return keras.Model(inputs, layers.ReLU(name="features")(x))


def test_margins_come_from_the_teacher_and_are_saved(tmp_path):
    teacher = teacher_model()
    gamma, beta = [1.0, -0.5, 2.0], [0.0, 0.25, -1.0]
    teacher.get_layer("norm").gamma.assign(gamma)
    teacher.get_layer("norm").beta.assign(beta)
    loss = OverhaulFeature("features", "features")
    loss.prepare(teacher, None)
    t, s = random_array(2, 4, 4, 3), random_array(2, 4, 4, 2, seed=1)
    value = numpy(loss(t, s))
    margins = [v for v in loss.non_trainable_variables if v.name == "margin_0"]
    expected = margin_from_normalization(gamma, beta)
    np.testing.assert_allclose(numpy(margins[0]), expected, rtol=1e-6)
    connected = loss.connect(s)
    np.testing.assert_allclose(value, numpy(overhaul_feature(t, connected, [expected])), rtol=1e-5)
    inputs = [keras.Input((4, 4, 3)), keras.Input((4, 4, 2))]
    keras.Model(inputs, loss(*inputs)).save(tmp_path / "loss.keras")
    again = keras.saving.load_model(tmp_path / "loss.keras")
    np.testing.assert_allclose(numpy(again([t, s])), value, rtol=1e-5)
    teacher.get_layer("norm").beta.assign([-4.0, -4.0, -4.0])
    loss.prepare(teacher, None)
    np.testing.assert_allclose(numpy(margins[0]), -4.0, rtol=0.1)


def test_a_normalisation_without_scale_has_deviation_one():
    loss = OverhaulFeature("features", "features", projector=None)
    loss.prepare(teacher_model(scale=False), None)
    loss.build((None, 4, 4, 3), (None, 4, 4, 3))
    np.testing.assert_allclose(numpy(loss.weights[0]), STANDARD_MARGIN, rtol=1e-6)


def test_given_margins_need_no_teacher():
    loss = OverhaulFeature(
        ["a", "b"], ["a", "b"], projector=None, margins=[-2, np.array([-1.0, -3.0])]
    )
    loss.prepare(None, None)
    loss.build([(None, 4, 4, 3), (None, 2, 2, 2)], [(None, 4, 4, 3), (None, 2, 2, 2)])
    np.testing.assert_array_equal(numpy(loss.weights[0]), [-2, -2, -2])
    np.testing.assert_array_equal(numpy(loss.weights[1]), [-1, -3])
    assert loss.get_config()["margins"] == [-2.0, [-1.0, -3.0]]


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (teacher_model(normalized=False), "before the tap 'features:pre'.*`margins=`"),
        (None, "without the teacher itself.*`margins=`"),
    ],
)
def test_no_normalisation_to_be_found(teacher, message):
    with pytest.raises(ValueError, match=message):
        OverhaulFeature("features", "features").prepare(teacher, None)


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ([-1.0], "one entry per pair of maps, 2. Received: 1"),
        ([-1.0, 0.5], "`margins` must be a finite number >= -inf and <= 0"),
        ([-1.0, [-1.0, float("nan")]], "`margins` must be a finite number"),
    ],
)
def test_bad_margins(margins, message):
    with pytest.raises(ValueError, match=message):
        OverhaulFeature(["a", "b"], ["a", "b"], margins=margins)


def test_margins_must_fit_the_channels():
    loss = OverhaulFeature("a", "b", margins=[[-1.0, -2.0]])
    with pytest.raises(ValueError, match=r"one per channel of the teacher, 3\. Received: 2"):
        loss.build((None, 4, 4, 3), (None, 4, 4, 3))


def test_equal_channels_get_a_connector_too():
    loss = OverhaulFeature("a", "b")
    loss.build((None, 4, 4, 3), (None, 4, 4, 3))
    assert [v.path.split("/", 2)[2] for v in loss.trainable_variables] == [
        "convolution/kernel",
        "normalization/gamma",
        "normalization/beta",
    ]
