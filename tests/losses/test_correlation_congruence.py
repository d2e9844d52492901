"""CorrelationCongruence: the Taylor series, the kernel it tends to, and the surrogate."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import CorrelationCongruence, correlation_congruence
from tests.helpers import random_array, value_and_gradients


def test_hand_computed_case():
    """Orthogonal rows against equal ones: off the diagonal the series is 1 against 2.12."""
    teacher, student = np.eye(2, dtype="float32"), np.array([[3.0, 0.0], [5.0, 0.0]], "float32")
    gap = np.exp(-0.8) * (0.8 + 0.8**2 / 2)
    found = float(correlation_congruence(teacher, student))
    assert found == pytest.approx(2 * gap**2 / 4, rel=1e-5)
    exact = float(correlation_congruence(teacher, student, order=None))
    assert exact == pytest.approx((1 - np.exp(-0.8)) ** 2 / 2, rel=1e-5)


def test_the_series_tends_to_the_kernel_and_differs_at_low_order():
    teacher, student = random_array(6, 5), random_array(6, 5, seed=1)
    exact = float(correlation_congruence(teacher, student, gamma=1.0, order=None))
    long = float(correlation_congruence(teacher, student, gamma=1.0, order=20))
    short = float(correlation_congruence(teacher, student, gamma=1.0, order=1))
    assert long == pytest.approx(exact, rel=1e-5)
    assert abs(short - exact) > 0.1 * exact


def test_rows_of_zeros_are_finite():
    teacher, student = random_array(4, 3), random_array(4, 3, seed=1)
    student[1] = 0
    for order in (2, None):
        value, _, (_, gradient) = value_and_gradients(
            lambda t, s, p=order: correlation_congruence(t, s, order=p), inputs=[teacher, student]
        )
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def reference_loss(**changes):
    loss = CorrelationCongruence(variant="reference", embedding_size=6, **changes)
    return loss, random_array(5, 2, 2, 3), random_array(5, 4, seed=1)


def test_the_reference_embeds_both_and_compares_neighbours():
    loss, teacher, student = reference_loss()
    found = float(ops.stop_gradient(loss(teacher, student)))
    weights = {w.path.split("/", 1)[1]: ops.convert_to_numpy(w) for w in loss.weights}
    t = teacher.reshape(5, -1) @ weights["teacher_embedding/kernel"]
    s = student @ weights["student_embedding/kernel"]
    gap = np.abs(s - t)
    assert found == pytest.approx(np.mean(np.sum(gap[:-1] * gap[1:], -1)), rel=1e-5)
    assert {w.shape for w in loss.weights} == {(12, 6), (4, 6), (6,)}


def test_both_embeddings_are_trained_and_the_teacher_is_not():
    loss, teacher, student = reference_loss()
    loss(teacher, student)
    _, by_weight, (by_teacher, by_student) = value_and_gradients(
        loss, loss.trainable_variables, [teacher, student]
    )
    assert len(by_weight) == 4
    assert all(np.abs(g).max() > 1e-6 for g in by_weight)
    assert by_teacher is None or not by_teacher.any()
    assert np.abs(by_student).max() > 0


def test_the_reference_depends_on_the_order_of_the_batch():
    teacher, student = random_array(4, 3), random_array(4, 3, seed=1)
    order = [0, 2, 1, 3]
    plain = float(correlation_congruence(teacher, student, "reference"))
    permuted = float(correlation_congruence(teacher[order], student[order], "reference"))
    assert abs(plain - permuted) > 1e-3
    bare = CorrelationCongruence(variant="reference", embedding_size=None)
    assert float(bare(teacher, student)) == pytest.approx(plain, rel=1e-6)
    assert not bare.weights


@pytest.mark.tensorflow
@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_a_batch_of_unknown_size(variant):
    import tensorflow as tf

    spec = [tf.TensorSpec((None, 4)), tf.TensorSpec((None, 4))]
    traced = tf.function(lambda t, s: correlation_congruence(t, s, variant), input_signature=spec)
    teacher, student = random_array(5, 4), random_array(5, 4, seed=1)
    expected = float(correlation_congruence(teacher, student, variant))
    assert float(traced(teacher, student)) == pytest.approx(expected, rel=1e-5)
    assert float(traced(teacher[:1], student[:1])) == pytest.approx(0.0, abs=1e-6)


def test_published_weights():
    assert CorrelationCongruence().weight == 100.0
    assert CorrelationCongruence(variant="reference").weight == 0.02


def test_the_reference_survives_its_config():
    loss, teacher, student = reference_loss(gamma=0.3)
    value = float(ops.stop_gradient(loss(teacher, student)))
    again = CorrelationCongruence.from_config(loss.get_config())
    again.build(teacher.shape, student.shape)
    again.set_weights(loss.get_weights())
    assert float(ops.stop_gradient(again(teacher, student))) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "code"}, "`variant` must be one of"),
        ({"gamma": 0}, "`gamma` must be a finite number > 0"),
        ({"order": 0}, "`order` must be an integer >= 1"),
        ({"order": 1.5}, "`order` must be"),
        ({"embedding_size": 0}, "`embedding_size` must be"),
        ({"teacher_tap": ["a"], "student_tap": ["b"]}, "give one CorrelationCongruence per pair"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CorrelationCongruence(**arguments)


def test_shapes_without_correlations():
    for variant in ("paper", "reference"):
        with pytest.raises(ValueError, match="at least two"):
            CorrelationCongruence(variant=variant).build((1, 3), (1, 3))
        with pytest.raises(ValueError, match="fixed input size"):
            CorrelationCongruence(variant=variant).build((None, None, 3), (None, 3))
    message = "6 values of the teacher, 4 of the student.*`embedding_size`"
    with pytest.raises(ValueError, match=message):
        correlation_congruence(random_array(3, 6), random_array(3, 4), "reference")
    with pytest.raises(ValueError, match=message):
        CorrelationCongruence(variant="reference", embedding_size=None).build((3, 6), (3, 4))
