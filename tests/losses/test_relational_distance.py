"""RelationalDistance: the Gram form against the direct one, and pairs of no distance."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import RelationalDistance, relational_distance
from tests.helpers import random_array, value_and_gradients


def direct(teacher, student):
    """From the differences themselves, `(batch, batch, size)`."""

    def distances(feature):
        differences = feature[None] - feature[:, None]
        batch = differences.shape[0]
        lengths = ops.sqrt(ops.maximum(ops.sum(ops.square(differences), -1), 1e-12))
        lengths = lengths * (1.0 - ops.eye(batch))
        return lengths / (ops.sum(lengths) / (batch * (batch - 1)))

    difference = distances(student) - distances(ops.stop_gradient(teacher))
    size = ops.abs(difference)
    return ops.mean(ops.where(size < 1, 0.5 * difference * difference, size - 0.5))


def test_hand_computed_case():
    teacher = np.array([[0.0], [1.0], [3.0]], "float32")  # distances 1, 3, 2 of mean 2
    student = np.array([[0.0], [1.0], [2.0]], "float32")  # distances 1, 2, 1 of mean 4/3
    gaps = np.array([0.75 - 0.5, 1.5 - 1.5, 0.75 - 1.0])
    expected = 2 * np.sum(0.5 * gaps**2) / 9
    assert float(relational_distance(teacher, student)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_value_and_gradient_equal_the_direct_form(offset):
    teacher, student = random_array(7, 12) + offset, random_array(7, 5, seed=1) + offset
    found = value_and_gradients(relational_distance, inputs=[teacher, student])
    wanted = value_and_gradients(direct, inputs=[teacher, student])
    assert found[0] == pytest.approx(wanted[0], rel=1e-4)
    np.testing.assert_allclose(found[2][1], wanted[2][1], rtol=1e-3, atol=1e-6)


def test_the_mean_distance_takes_part_in_the_gradient():
    """The loss does not see the student's scale, so the gradient is orthogonal to it."""
    teacher, student = random_array(6, 4), random_array(6, 4, seed=1)
    _, _, (_, gradient) = value_and_gradients(relational_distance, inputs=[teacher, student])
    centred = student - student.mean(0)
    assert np.abs(gradient).max() > 1e-3
    assert abs(np.sum(gradient * centred)) < 1e-5
    scaled = relational_distance(teacher, 100.0 * student)
    np.testing.assert_allclose(
        float(scaled), float(relational_distance(teacher, student)), rtol=1e-4
    )


def test_large_differences_count_linearly():
    """Of far pairs smooth L1 takes |x| − 1/2: one pair at distance, three pairs at none."""
    teacher = np.array([[0.0], [0.0], [0.0], [1.0]], "float32")
    student = np.array([[0.0], [1.0], [2.0], [3.0]], "float32")
    gaps = []
    for i in range(4):
        for j in range(4):
            t, s = abs(teacher[i] - teacher[j])[0] / 0.5, abs(student[i] - student[j])[0] / (10 / 6)
            gaps.append(abs(t - s))
    assert max(gaps) > 1
    expected = np.mean([0.5 * g * g if g < 1 else g - 0.5 for g in gaps])
    assert float(relational_distance(teacher, student)) == pytest.approx(expected, rel=1e-4)


def test_some_duplicated_rows_have_a_finite_gradient():
    teacher, student = random_array(6, 4), random_array(6, 4, seed=1)
    student[3] = student[1]
    teacher[2] = teacher[0]
    value, _, (_, gradient) = value_and_gradients(relational_distance, inputs=[teacher, student])
    wanted, _, (_, direct_gradient) = value_and_gradients(direct, inputs=[teacher, student])
    assert value == pytest.approx(wanted, rel=1e-3)
    assert np.isfinite(gradient).all()
    others = [0, 2, 4, 5]
    np.testing.assert_allclose(gradient[others], direct_gradient[others], rtol=1e-2, atol=1e-5)


def test_maps_are_flattened_and_the_weight_is_published():
    teacher, student = random_array(4, 3, 2, 5), random_array(4, 6, seed=1)
    flat = relational_distance(teacher.reshape(4, -1), student)
    np.testing.assert_allclose(float(relational_distance(teacher, student)), float(flat), rtol=1e-6)
    assert RelationalDistance().weight == 25.0
    assert RelationalDistance(weight=1.5).weight == 1.5


@pytest.mark.tensorflow
def test_a_graph_without_a_known_batch():
    import tensorflow as tf

    spec = [tf.TensorSpec((None, 4)), tf.TensorSpec((None, 3))]
    traced = tf.function(relational_distance, input_signature=spec)
    teacher, student = random_array(6, 4), random_array(6, 3, seed=1)
    np.testing.assert_allclose(
        traced(teacher, student), relational_distance(teacher, student), 1e-5
    )
    assert float(traced(teacher[:1], student[:1])) == 0.0


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        ((1, 4), (1, 3), r"at least two.*drop_remainder"),
        ((4,), (4, 3), "features"),
        ((None, None, 4), (None, 3), "fixed input size"),
        ((4, 4), (5, 3), "same samples"),
    ],
)
def test_shapes_without_relations(teacher, student, message):
    with pytest.raises(ValueError, match=message):
        RelationalDistance().build(teacher, student)


def test_several_pairs_are_refused():
    with pytest.raises(ValueError, match="give one RelationalDistance per pair"):
        RelationalDistance(teacher_tap=["a", "b"], student_tap=["a", "b"])
