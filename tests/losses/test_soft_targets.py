"""SoftTargets against the formula in float64, and what makes it safe."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses import SoftTargets, soft_targets
from tests.helpers import random_array, value_and_gradients


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def reference(teacher, student, temperature):
    """T² KL in float64, and its gradient by the student."""
    log_t = log_softmax(teacher.astype("float64") / temperature)
    log_s = log_softmax(student.astype("float64") / temperature)
    value = temperature**2 * (np.exp(log_t) * (log_t - log_s)).sum(-1)
    return value, temperature * (np.exp(log_s) - np.exp(log_t))


def loss_and_gradients(teacher, student, temperature):
    def total(t, s):
        return ops.sum(soft_targets(t, s, temperature))

    _, _, (by_teacher, by_student) = value_and_gradients(total, inputs=[teacher, student])
    values = ops.convert_to_numpy(soft_targets(teacher, student, temperature))
    return values, by_teacher, by_student


EXTREMES = np.array(
    [[1e4, -1e4, 0.0, 1e4], [-1e4, 1e4, 1e4, 0.0], [0.0, 0.0, 0.0, -1e4]], "float32"
)


@pytest.mark.parametrize("temperature", [1, 4.0, 20])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_value_and_gradient_equal_the_formula(temperature, scale):
    teacher, student = (random_array(6, 10, seed=n, scale=scale) for n in range(2))
    values, by_teacher, by_student = loss_and_gradients(teacher, student, temperature)
    expected, gradient = reference(teacher, student, temperature)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(by_student, gradient, rtol=1e-4, atol=1e-4)
    assert by_teacher is None or not by_teacher.any()


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_huge_logits_give_the_finite_true_value(temperature):
    teacher, student = EXTREMES, EXTREMES[::-1].copy()
    values, by_teacher, by_student = loss_and_gradients(teacher, student, temperature)
    expected, gradient = reference(teacher, student, temperature)
    assert expected.max() > 1e3
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(by_student, gradient, rtol=1e-5, atol=1e-3)
    assert by_teacher is None or not by_teacher.any()


def test_divergence_beyond_what_clipped_probabilities_can_say():
    value = soft_targets(np.array([[0.0, 0.0]], "f4"), np.array([[40.0, -40.0]], "f4"), 1.0)
    assert float(value[0]) == pytest.approx(40.0 - np.log(2), rel=1e-6)


def test_hand_computed_case():
    teacher = np.log(np.array([[0.5, 0.25, 0.25]], "float32"))
    student = np.zeros((1, 3), "float32")
    expected = 0.5 * np.log(1.5) + 0.5 * np.log(0.75)
    assert float(soft_targets(teacher, student, 1.0)[0]) == pytest.approx(expected, rel=1e-5)
    # Twice the logits at twice the temperature: the same divergence, four times the value.
    assert float(soft_targets(2 * teacher, student, 2.0)[0]) == pytest.approx(
        4 * expected, rel=1e-5
    )


def test_the_teacher_comes_first():
    teacher, student = (random_array(4, 5, seed=n, scale=3.0) for n in range(2))
    forward = ops.convert_to_numpy(soft_targets(teacher, student))
    backward = ops.convert_to_numpy(soft_targets(student, teacher))
    np.testing.assert_allclose(forward, reference(teacher, student, 4.0)[0], rtol=1e-4)
    assert np.abs(forward - backward).max() > 0.01


def test_a_shift_of_all_logits_changes_nothing():
    teacher, student = (random_array(4, 5, seed=n) for n in range(2))
    plain = ops.convert_to_numpy(soft_targets(teacher, student))
    for shifts in [(10.0, 0.0), (0.0, 10.0), (-3.0, 7.0)]:
        shifted = soft_targets(teacher + shifts[0], student + shifts[1])
        np.testing.assert_allclose(ops.convert_to_numpy(shifted), plain, atol=1e-4)


def test_high_temperature_is_half_the_variance_of_the_difference():
    teacher, student = (random_array(4, 8, seed=n) for n in range(2))
    values, _, gradient = loss_and_gradients(teacher, student, 1e2)
    difference = student - teacher
    np.testing.assert_allclose(values, difference.var(-1) / 2, rtol=0.05)
    centred = difference - difference.mean(-1, keepdims=True)
    np.testing.assert_allclose(gradient, centred / 8, atol=0.01)


def test_float16_logits_lose_nothing_more_than_their_own_rounding():
    teacher, student = (random_array(4, 5, seed=n, scale=300.0, dtype="float16") for n in range(2))
    values = soft_targets(teacher, student)
    assert keras.backend.standardize_dtype(values.dtype) == "float32"
    expected, gradient = reference(teacher, student, 4.0)
    np.testing.assert_allclose(ops.convert_to_numpy(values), expected, rtol=1e-4, atol=1e-4)
    _, _, by_student = loss_and_gradients(teacher, student, 4.0)
    np.testing.assert_allclose(by_student, gradient, atol=5e-3)


def test_a_mixed_policy_does_not_narrow_the_logits():
    teacher, student = (random_array(4, 5, seed=n, scale=9e4) for n in range(2))
    keras.config.set_dtype_policy("mixed_float16")
    for loss in (SoftTargets(), SoftTargets(dtype="mixed_float16")):
        values = ops.convert_to_numpy(loss(teacher, student))
        np.testing.assert_allclose(values, reference(teacher, student, 4.0)[0], rtol=1e-4)


def test_dense_prediction_averages_the_positions():
    teacher, student = (random_array(2, 3, 4, 5, seed=n) for n in range(2))
    values = ops.convert_to_numpy(soft_targets(teacher, student))
    expected = reference(teacher, student, 4.0)[0].mean((1, 2))
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_zero_at_equal_logits():
    logits = random_array(4, 5, scale=10.0)
    values, _, gradient = loss_and_gradients(logits, logits, 4.0)
    np.testing.assert_allclose(values, 0, atol=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "4", None, True])
def test_bad_temperature(temperature):
    with pytest.raises(ValueError, match="`temperature` must be a finite number > 0"):
        SoftTargets(temperature=temperature)
    with pytest.raises(ValueError, match="`temperature` must be"):
        soft_targets(np.zeros((1, 2)), np.zeros((1, 2)), temperature)


def test_other_classes_are_refused_with_the_mend():
    message = r"10 classes of the teacher, 7 of the student.*Hint"
    with pytest.raises(ValueError, match=message):
        soft_targets(np.zeros((2, 10), "float32"), np.zeros((2, 7), "float32"))
    with pytest.raises(ValueError, match=message):
        SoftTargets().build((None, 10), (None, 7))
    with pytest.raises(ValueError, match="the same shape"):
        soft_targets(np.zeros((2, 3, 10), "float32"), np.zeros((2, 10), "float32"))


def test_nothing_is_broadcast():
    with pytest.raises(ValueError, match=r"same samples.*teacher \(1, 5\), student \(4, 5\)"):
        soft_targets(random_array(1, 5), random_array(4, 5))
    with pytest.raises(ValueError, match="the same shape"):
        soft_targets(random_array(2, 1, 1, 5), random_array(2, 4, 4, 5))


def test_several_pairs_are_refused():
    with pytest.raises(ValueError, match="give one SoftTargets per pair"):
        SoftTargets(teacher_tap=["a", "b"], student_tap=["a", "b"])
