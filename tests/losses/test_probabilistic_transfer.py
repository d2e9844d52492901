"""ProbabilisticTransfer: both formulas, the diagonal, and similarities at their limits."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import ProbabilisticTransfer, probabilistic_transfer
from tests.helpers import random_array, value_and_gradients
from tests.losses import references_activations as references

VARIANTS = ["paper", "reference"]


def loss_of(teacher, student, variant="paper"):
    return float(ops.convert_to_numpy(probabilistic_transfer(teacher, student, variant)))


def gradient(teacher, student, variant):
    def total(s):
        return probabilistic_transfer(teacher, s, variant)

    return value_and_gradients(total, inputs=[student])[2][0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("teacher", "student"),
    [((6, 8), (6, 8)), ((3, 5), (3, 2)), ((16, 4, 3, 2), (16, 7)), ((5, 3, 4), (5, 2, 2, 3))],
)
def test_equals_the_formula(teacher, student, variant):
    teacher, student = random_array(*teacher), random_array(*student, seed=1)
    exact = (side.astype("float64") for side in (teacher, student))
    expected = references.probabilistic_transfer(*exact, variant=variant)
    assert expected > 1e-4
    assert loss_of(teacher, student, variant) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_faint_features_show_the_references_epsilon(variant):
    teacher, student = random_array(6, 8), 2e-6 * random_array(6, 8, seed=1)
    exact = (side.astype("float64") for side in (teacher, student))
    expected = references.probabilistic_transfer(*exact, variant=variant)
    assert loss_of(teacher, student, variant) == pytest.approx(expected, rel=1e-3)
    loud = loss_of(teacher, 1e6 * student, variant)
    assert (abs(loud / expected - 1) > 5e-3) == (variant == "reference")


def test_hand_computed_case():
    """Three samples; cosines 1, 0, 0 of the teacher's pairs, all 0 of the student's."""
    teacher = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]], "float32")
    student = 2 * np.eye(3, dtype="float32")
    # Similarities 1 and 1/2: two rows of (2/3, 1/3) and one of (1/2, 1/2), against halves.
    expected = 2 * (2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3))
    assert loss_of(teacher, student) == pytest.approx(expected, rel=1e-5)
    # With the diagonal rows of (2, 2, 1) / 5 and (1, 1, 2) / 4, against (2, 1, 1) / 4.
    unequal = 0.4 * np.log(0.4 / 0.5) + 0.4 * np.log(0.4 / 0.25) + 0.2 * np.log(0.2 / 0.25)
    value = loss_of(teacher, student, "reference")
    assert value == pytest.approx(2 * unequal / 9, rel=1e-5)


@pytest.mark.parametrize("features", [4, 64])
def test_the_gap_between_the_variants_is_as_documented(features):
    """About B² between the values."""
    batch = 64
    teacher = np.abs(random_array(batch, features))
    student = np.abs(random_array(batch, features, seed=1))
    gap = loss_of(teacher, student) / loss_of(teacher, student, "reference") / batch**2
    assert 1.0 < gap < 1.1


@pytest.mark.parametrize("variant", VARIANTS)
def test_scale_and_rotation_do_not_matter(variant):
    teacher, student = random_array(6, 5), random_array(6, 4, seed=1)
    plain = loss_of(teacher, student, variant)
    rotation = np.linalg.qr(random_array(4, 4, seed=2))[0].astype("float32")
    scales = np.array([[1e-2], [1.0], [10.0], [3.0], [0.5], [100.0]], "float32")
    assert loss_of(teacher, scales * student @ rotation, variant) == pytest.approx(plain, rel=2e-3)
    assert loss_of(teacher, student + 1.0, variant) != pytest.approx(plain, rel=1e-2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_value_is_a_divergence_and_the_teacher_comes_first(variant):
    teacher, student = random_array(6, 5, seed=3), random_array(6, 5, seed=1)
    forward, backward = loss_of(teacher, student, variant), loss_of(student, teacher, variant)
    assert min(forward, backward) > 0
    assert forward != pytest.approx(backward, rel=1e-3)
    assert loss_of(teacher, teacher, variant) == 0.0
    np.testing.assert_allclose(gradient(teacher, teacher, variant), 0.0, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_opposite_features_have_a_finite_value_and_gradient(variant):
    """Their similarity is 0; in one dimension all others of a row may be."""
    signs = np.array([[1.0], [-2.0], [3.0], [-1.0]], "float32")
    alone = np.array([[1.0], [-2.0], [-3.0], [-1.0]], "float32")
    for teacher, student in [(signs, alone), (alone, signs), (signs, signs)]:
        assert np.isfinite(loss_of(teacher, student, variant))
        assert np.isfinite(gradient(teacher, student, variant)).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_feature_of_zeros_has_a_finite_gradient(variant):
    teacher, student = random_array(4, 5), random_array(4, 3, seed=1)
    student[2] = 0.0
    found = gradient(teacher, student, variant)
    assert np.isfinite(found).all()
    assert np.abs(found[[0, 1, 3]]).max() > 1e-4


def test_two_samples_have_one_neighbour_each_in_the_papers_variant():
    teacher, student = random_array(2, 5), random_array(2, 3, seed=1)
    assert loss_of(teacher, student) == pytest.approx(0.0, abs=1e-6)
    assert loss_of(teacher, student, "reference") > 1e-5


def test_published_weights():
    assert ProbabilisticTransfer().weight == 1.0
    assert ProbabilisticTransfer(variant="reference").weight == 30000.0
    assert ProbabilisticTransfer(variant="reference", weight=3.0).weight == 3.0
    assert ProbabilisticTransfer().teacher_taps == ["pooled"]


def test_bad_input():
    with pytest.raises(ValueError, match="`variant` must be one of"):
        ProbabilisticTransfer(variant="code")
    with pytest.raises(ValueError, match="give one ProbabilisticTransfer per pair"):
        ProbabilisticTransfer(["a", "b"], ["a", "b"])
    with pytest.raises(ValueError, match=r"needs at least two.*drop_remainder=True"):
        ProbabilisticTransfer()(random_array(1, 5), random_array(1, 3))
    with pytest.raises(ValueError, match="compares the same samples"):
        probabilistic_transfer(random_array(4, 5), random_array(3, 5))
    with pytest.raises(ValueError, match=r"features \(batch, \.\.\.\)"):
        probabilistic_transfer(random_array(4), random_array(4))
    with pytest.raises(ValueError, match="features of known sizes"):
        ProbabilisticTransfer().build((None, None, None, 3), (None, 5))


@pytest.mark.tensorflow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_unknown_size(variant):
    import tensorflow as tf

    loss = ProbabilisticTransfer(variant=variant)
    traced = tf.function(loss, input_signature=[tf.TensorSpec((None, 5)), tf.TensorSpec((None, 3))])
    for batch in (4, 7):
        teacher, student = random_array(batch, 5), random_array(batch, 3, seed=1)
        expected = loss_of(teacher, student, variant)
        assert float(traced(teacher, student)) == pytest.approx(expected, rel=1e-5)
    assert float(traced(teacher[:1], student[:1])) == pytest.approx(0.0, abs=1e-6)
