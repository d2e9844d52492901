"""DecoupledKnowledge: the identity with soft targets, two classes, and labels as they come."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import DecoupledKnowledge, decoupled_knowledge, soft_targets
from tests.helpers import random_array, value_and_gradients

LABELS = np.array([0, 3, 4, 2, 2, 1], "int32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def terms(teacher, student, labels, temperature):
    """TCKD and NCKD."""
    return [
        numpy(decoupled_knowledge(teacher, student, labels, temperature, *weights))
        for weights in ((1.0, 0.0), (0.0, 1.0))
    ]


def test_hand_computed_case():
    teacher = np.log(np.array([[0.5, 0.25, 0.25]], "float32"))
    student = np.log(np.array([[0.25, 0.25, 0.5]], "float32"))
    target, others = terms(teacher, student, np.array([0]), 1.0)
    assert target[0] == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75), rel=1e-5)
    assert others[0] == pytest.approx(0.5 * np.log(0.5 * 3) + 0.5 * np.log(0.5 * 1.5), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_soft_targets_are_the_target_and_the_weighted_others(temperature, scale):
    """KD = TCKD + (1 − p_y) NCKD."""
    teacher, student = (random_array(6, 5, seed=n, scale=scale) for n in range(2))
    target, others = terms(teacher, student, LABELS, temperature)
    softened = np.exp(teacher.astype("float64") / temperature)
    own = softened[np.arange(6), LABELS] / softened.sum(-1)
    whole = numpy(soft_targets(teacher, student, temperature))
    np.testing.assert_allclose(target + (1 - own) * others, whole, rtol=1e-3, atol=1e-5)


def test_two_classes_have_no_others():
    """Exactly zero, value and gradient, also where exp(logits) overflows."""
    for scale in (1.0, 1e4):
        teacher, student = (random_array(6, 2, seed=n, scale=scale) for n in range(2))
        labels = LABELS % 2
        value, _, (_, gradient) = value_and_gradients(
            lambda t, s, y=labels: ops.sum(decoupled_knowledge(t, s, y, 1.0, 0.0, 1.0)),
            inputs=[teacher, student],
        )
        assert value == 0.0
        assert not gradient.any()
        target, _ = terms(teacher, student, labels, 4.0)
        np.testing.assert_allclose(target, numpy(soft_targets(teacher, student)), rtol=1e-3)


def test_the_logit_of_the_target_is_left_out_exactly():
    """The authors subtract 1000 from it, which is little where logits are larger."""
    teacher, student = random_array(6, 5), random_array(6, 5, seed=1)
    _, expected = terms(teacher, student, LABELS, 1.0)
    for shift in (1e4, -1e4):
        high = student.copy()
        high[np.arange(6), LABELS] += shift
        _, found = terms(teacher, high, LABELS, 1.0)
        np.testing.assert_array_equal(found, expected)
    _, _, (_, gradient) = value_and_gradients(
        lambda t, s: ops.sum(decoupled_knowledge(t, s, LABELS, 1.0, 0.0, 1.0)),
        inputs=[teacher, student],
    )
    assert not gradient[np.arange(6), LABELS].any()
    assert np.abs(gradient).max() > 0.01


def test_a_sure_teacher_still_tells_of_the_others():
    teacher, student = random_array(6, 5), random_array(6, 5, seed=1)
    teacher[np.arange(6), LABELS] = 30.0
    plain = numpy(soft_targets(teacher[:, :], student, 1.0))
    _, others = terms(teacher, student, LABELS, 1.0)
    assert others.min() > 1e-3
    target, _ = terms(teacher, student, LABELS, 1.0)
    np.testing.assert_allclose(plain, target, rtol=1e-4)


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
def test_labels_of_any_integer_type_with_or_without_an_axis(kind):
    teacher, student = random_array(6, 5), random_array(6, 5, seed=1)
    expected = numpy(decoupled_knowledge(teacher, student, LABELS))
    for labels in (LABELS.astype(kind), LABELS.astype(kind)[:, None]):
        np.testing.assert_array_equal(
            numpy(decoupled_knowledge(teacher, student, labels)), expected
        )
        found = DecoupledKnowledge()(teacher, student, labels=labels)
        np.testing.assert_array_equal(numpy(found), expected)


def test_a_label_that_is_no_class_is_not_a_number():
    labels = np.array([0, 5, -1, 2, 2, 1])
    found = numpy(decoupled_knowledge(random_array(6, 5), random_array(6, 5, seed=1), labels))
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, False, False, False])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "needs `labels`, an integer for each sample"),
        (np.eye(6, 5, dtype="int32"), r"one-hot labels.*argmax"),
        (LABELS.astype("float32"), "float32 of shape"),
        (LABELS[:4], r"integers of shape \(6,\)"),
    ],
)
def test_bad_labels(labels, message):
    teacher, student = random_array(6, 5), random_array(6, 5, seed=1)
    with pytest.raises(ValueError, match=message):
        decoupled_knowledge(teacher, student, labels)
    with pytest.raises(ValueError, match=message):
        DecoupledKnowledge()(teacher, student, labels=labels)


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        ((None, 5), (None, 4), "same classes"),
        ((None, 3, 5), (None, 3, 5), r"logits \(batch, classes\)"),
        ((None, 1), (None, 1), "two classes or more.*two logits"),
        ((1, 5), (4, 5), "same samples"),
    ],
)
def test_bad_logits(teacher, student, message):
    with pytest.raises(ValueError, match=message):
        DecoupledKnowledge().build(teacher, student)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "`temperature` must be a finite number > 0"),
        ({"target_weight": -1.0}, "`target_weight` must be a finite number >= 0"),
        ({"nontarget_weight": None}, "`nontarget_weight` must be"),
        ({"teacher_tap": ["a"], "student_tap": ["b"]}, "give one DecoupledKnowledge per pair"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DecoupledKnowledge(**arguments)


@pytest.mark.tensorflow
def test_a_graph_without_a_known_batch():
    import tensorflow as tf

    spec = [tf.TensorSpec((None, 5)), tf.TensorSpec((None, 5)), tf.TensorSpec((None,), tf.int64)]
    traced = tf.function(decoupled_knowledge, input_signature=spec)
    sides = random_array(6, 5), random_array(6, 5, seed=1)
    expected = decoupled_knowledge(*sides, LABELS)
    np.testing.assert_allclose(traced(*sides, LABELS.astype("int64")), expected, rtol=1e-5)
