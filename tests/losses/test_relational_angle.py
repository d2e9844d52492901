"""RelationalAngle: the Gram form and its hand-made gradient against the direct form."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import RelationalAngle, relational_angle
from tests.helpers import random_array, value_and_gradients


def direct(teacher, student, anchors=None):
    """From the unit differences themselves, `(anchors, batch, size)`."""

    def cosines(feature):
        rows = range(feature.shape[0]) if anchors is None else anchors
        differences = ops.stack([feature - feature[j] for j in rows])
        squares = ops.sum(ops.square(differences), -1, keepdims=True)
        differences = differences * ops.rsqrt(ops.maximum(squares, 1e-12))
        return ops.matmul(differences, ops.transpose(differences, (0, 2, 1)))

    difference = cosines(student) - cosines(ops.stop_gradient(teacher))
    size = ops.abs(difference)
    return ops.mean(ops.where(size < 1, 0.5 * difference * difference, size - 0.5))


def test_hand_computed_case():
    teacher = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")
    student = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], "float32")
    half = np.sqrt(0.5)
    # cosines at each vertex: 0, √½, √½ of the teacher; 1, −1, 1 of the student
    gaps = np.array([1.0 - 0.0, -1.0 - half, 1.0 - half])
    values = [0.5 * g * g if abs(g) < 1 else abs(g) - 0.5 for g in gaps]
    expected = 2 * sum(values) / 27
    assert float(relational_angle(teacher, student)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("offset", [0.0, 50.0])
@pytest.mark.parametrize("size", [2, 12])
def test_value_and_gradient_equal_the_direct_form(offset, size):
    teacher, student = random_array(7, 5) + offset, random_array(7, size, seed=1) + offset
    found = value_and_gradients(relational_angle, inputs=[teacher, student])
    wanted = value_and_gradients(direct, inputs=[teacher, student])
    assert found[0] == pytest.approx(wanted[0], rel=1e-4)
    np.testing.assert_allclose(found[2][1], wanted[2][1], rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize(
    ("count", "anchors"), [(1, [0]), (3, [0, 2, 4]), (6, [0, 1, 2, 3, 4, 5]), (7, None), (99, None)]
)
def test_fewer_anchors_are_spread_evenly(count, anchors):
    teacher, student = random_array(7, 5), random_array(7, 4, seed=1)
    found = value_and_gradients(lambda t, s: relational_angle(t, s, count), (), [teacher, student])
    wanted = value_and_gradients(lambda t, s: direct(t, s, anchors), (), [teacher, student])
    assert found[0] == pytest.approx(wanted[0], rel=1e-4)
    np.testing.assert_allclose(found[2][1], wanted[2][1], rtol=1e-3, atol=2e-6)


def test_the_gradient_scales_with_what_follows():
    """The hand-made gradient is a factor of the chain like any other."""
    teacher, student = random_array(5, 4), random_array(5, 3, seed=1)
    _, _, (_, plain) = value_and_gradients(relational_angle, inputs=[teacher, student])
    _, _, (_, scaled) = value_and_gradients(
        lambda t, s: 3.0 * relational_angle(t, 2.0 * s) ** 2, inputs=[teacher, student]
    )
    value = float(relational_angle(teacher, student))
    np.testing.assert_allclose(scaled, 3.0 * 2.0 * value * plain, rtol=1e-3, atol=1e-7)


def test_duplicated_rows_are_differences_of_zero():
    teacher, student = random_array(6, 4), random_array(6, 4, seed=1)
    student[3] = student[1]
    teacher[2] = teacher[0]
    found = value_and_gradients(relational_angle, inputs=[teacher, student])
    wanted = value_and_gradients(direct, inputs=[teacher, student])
    assert found[0] == pytest.approx(wanted[0], rel=1e-3)
    others = [0, 2, 4, 5]  # the direct form's gradient at the equal rows is about 1e4
    np.testing.assert_allclose(found[2][1][others], wanted[2][1][others], rtol=1e-2, atol=1e-5)
    assert np.abs(found[2][1]).max() < 1


def test_a_scale_and_a_shift_change_nothing():
    teacher, student = random_array(5, 4), random_array(5, 4, seed=1)
    value = float(relational_angle(teacher, student))
    assert value > 0.01
    assert float(relational_angle(3.0 * teacher, 0.1 * student + 2)) == pytest.approx(
        value, rel=1e-3
    )


@pytest.mark.tensorflow
def test_a_graph_without_a_known_batch():
    import tensorflow as tf

    spec = [tf.TensorSpec((None, 4)), tf.TensorSpec((None, 3))]
    teacher, student = random_array(6, 4), random_array(6, 3, seed=1)
    for count in (None, 4, 9):
        traced = tf.function(lambda t, s, n=count: relational_angle(t, s, n), input_signature=spec)
        expected = relational_angle(teacher, student, count)
        np.testing.assert_allclose(traced(teacher, student), expected, rtol=1e-5)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "all"])
def test_bad_anchors(count):
    with pytest.raises(ValueError, match="`max_anchors` must be an integer >= 1"):
        RelationalAngle(max_anchors=count)
    with pytest.raises(ValueError, match="`max_anchors` must be"):
        relational_angle(random_array(3, 2), random_array(3, 2), count)


def test_a_batch_of_one_is_refused_and_the_weight_is_published():
    with pytest.raises(ValueError, match=r"at least two.*drop_remainder"):
        relational_angle(random_array(1, 4), random_array(1, 4))
    with pytest.raises(ValueError, match="give one RelationalAngle per pair"):
        RelationalAngle(["a", "b"], ["a", "b"])
    assert RelationalAngle().weight == 50.0
