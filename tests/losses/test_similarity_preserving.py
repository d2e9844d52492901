"""SimilarityPreserving: the formula, its invariances, and silent samples."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import SimilarityPreserving, similarity_preserving
from tests.helpers import random_array, value_and_gradients
from tests.losses import references_activations as references


def loss_of(teacher, student):
    return float(ops.convert_to_numpy(similarity_preserving(teacher, student)))


def gradient(teacher, student):
    return value_and_gradients(lambda s: similarity_preserving(teacher, s), inputs=[student])[2][0]


@pytest.mark.parametrize(
    ("teacher", "student"),
    [((4, 5), (4, 5)), ((2, 4, 3, 5), (2, 7, 2, 3)), ((9, 4, 4, 2), (9, 6)), ((3, 2, 2), (3, 5))],
)
def test_equals_the_formula(teacher, student):
    teacher, student = random_array(*teacher), random_array(*student, seed=1)
    exact = (side.astype("float64") for side in (teacher, student))
    expected = references.similarity_preserving(*exact)
    assert loss_of(teacher, student) == pytest.approx(expected, rel=1e-4)


def test_hand_computed_case():
    """Orthogonal samples of the teacher, equal ones of the student."""
    teacher = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
    student = np.ones((2, 3), "float32")
    root = np.sqrt(0.5)
    expected = 2 * ((1 - root) ** 2 + root**2) / 4
    assert loss_of(teacher, student) == pytest.approx(expected, rel=1e-6)


def test_rows_are_normalised_not_samples():
    """A trap: a sample's own scale is seen by the others' rows."""
    teacher, student = random_array(4, 5), random_array(4, 3, seed=1)
    longer = student * np.array([[10.0], [1.0], [1.0], [1.0]], "float32")
    assert loss_of(teacher, longer) != pytest.approx(loss_of(teacher, student), rel=1e-2)


@pytest.mark.parametrize("factor", [1e-8, 1e-3, 1e8])
def test_a_common_scale_does_not_matter_even_for_the_gradient(factor):
    teacher, student = random_array(4, 5), random_array(4, 3, seed=1)
    factor = np.float32(factor)
    plain = loss_of(teacher, student)
    assert loss_of(teacher, factor * student) == pytest.approx(plain, rel=1e-4)
    assert loss_of(factor * teacher, student) == pytest.approx(plain, rel=1e-4)
    found = factor * gradient(teacher, factor * student)
    np.testing.assert_allclose(found, gradient(teacher, student), rtol=1e-3, atol=1e-5)


def test_gradient_equals_differences():
    """The factor that is taken out has a gradient of its own, which must not be missed."""
    teacher, student = random_array(3, 4), random_array(3, 2, seed=1)
    found, step = gradient(teacher, student), 1e-6
    for index in np.ndindex(student.shape):
        sides = [student.astype("float64") for _ in range(2)]
        sides[0][index] += step
        sides[1][index] -= step
        up, down = (
            references.similarity_preserving(teacher.astype("float64"), side) for side in sides
        )
        assert found[index] == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-5)


def test_a_silent_sample_has_a_finite_gradient():
    teacher, student = random_array(4, 5), random_array(4, 3, seed=1)
    student[2] = 0.0
    found = gradient(teacher, student)
    assert np.isfinite(found).all()
    assert np.abs(found[[0, 1, 3]]).max() > 1e-4
    np.testing.assert_allclose(gradient(teacher, teacher), 0.0, atol=1e-6)


def test_published_weight():
    assert SimilarityPreserving().weight == 3000.0
    assert SimilarityPreserving(weight=1.0).weight == 1.0
    assert SimilarityPreserving().student_taps == ["stage3"]


def test_bad_input():
    with pytest.raises(ValueError, match="give one SimilarityPreserving per pair"):
        SimilarityPreserving(["a", "b"], ["a", "b"])
    with pytest.raises(ValueError, match=r"needs at least two.*drop_remainder=True"):
        SimilarityPreserving()(random_array(1, 5), random_array(1, 3))
    with pytest.raises(ValueError, match="compares the same samples"):
        similarity_preserving(random_array(4, 5), random_array(3, 5))
    with pytest.raises(ValueError, match=r"features \(batch, \.\.\.\)"):
        similarity_preserving(random_array(4), random_array(4))
    with pytest.raises(ValueError, match="features of known sizes"):
        SimilarityPreserving().build((None, None, None, 3), (None, 5))


@pytest.mark.tensorflow
def test_a_batch_of_unknown_size():
    import tensorflow as tf

    signature = [tf.TensorSpec((None, 2, 2, 5)), tf.TensorSpec((None, 3))]
    traced = tf.function(SimilarityPreserving(), input_signature=signature)
    for batch in (2, 5):
        teacher, student = random_array(batch, 2, 2, 5), random_array(batch, 3, seed=1)
        expected = loss_of(teacher, student)
        assert float(traced(teacher, student)) == pytest.approx(expected, rel=1e-5)
