"""AttentionTransfer: both formulas, their relation, and what attention ignores."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import AttentionTransfer, attention_transfer
from tests.helpers import random_array, value_and_gradients
from tests.losses import references_activations as references

VARIANTS = ["paper", "reference"]


def loss_of(teacher, student, **keywords):
    return ops.convert_to_numpy(attention_transfer(teacher, student, **keywords))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("power", [1, 1.5, 2, 4.0])
@pytest.mark.parametrize(
    ("teacher_size", "student_size"),
    [((4, 4), (4, 4)), ((4, 3), (8, 6)), ((7, 5), (3, 4)), ((5, 2), (3, 6)), ((1, 1), (2, 3))],
)
def test_equals_the_formula(teacher_size, student_size, power, variant):
    teacher = random_array(3, *teacher_size, 5)
    student = random_array(3, *student_size, 2, seed=1)
    values = loss_of(teacher, student, power=power, variant=variant)
    exact = (side.astype("float64") for side in (teacher, student))
    expected = references.attention_transfer(*exact, power=power, variant=variant)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-7)


def test_hand_computed_case():
    """The teacher sees the left of two pixels, the student both."""
    teacher = np.array([[[[3.0, 0.0], [0.0, 0.0]]]], "float32")
    student = np.array([[[[-1.0], [1.0]]]], "float32")
    squared = (1 - np.sqrt(0.5)) ** 2 + 0.5
    assert loss_of(teacher, student)[0] == pytest.approx(0.5 * np.sqrt(squared), rel=1e-6)
    value = loss_of(teacher, student, variant="reference")[0]
    assert value == pytest.approx(squared / 2, rel=1e-6)


def test_the_variants_relate_as_the_docstring_says():
    teacher, student = random_array(3, 8, 8, 5), random_array(3, 8, 8, 2, seed=1)
    paper = loss_of(teacher, student)
    reference = loss_of(teacher, student, variant="reference")
    np.testing.assert_allclose(reference, 4 * paper**2 / 64, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pairs_add_up(variant):
    teacher = [random_array(3, 4, 4, 5), random_array(3, 2, 3, 4, seed=2)]
    student = [random_array(3, 8, 8, 2, seed=1), random_array(3, 2, 3, 6, seed=3)]
    both = loss_of(teacher, student, variant=variant)
    each = [loss_of(t, s, variant=variant) for t, s in zip(teacher, student, strict=True)]
    np.testing.assert_allclose(both, sum(each), rtol=1e-6)
    loss = AttentionTransfer("stage2", "stage1", variant=variant)
    np.testing.assert_array_equal(ops.convert_to_numpy(loss(teacher[0], student[0])), each[0])


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_signs_scale_and_order_of_channels_do_not_matter(variant, factor):
    teacher, student = random_array(3, 4, 4, 5), random_array(3, 4, 4, 6, seed=1)
    plain = loss_of(teacher, student, variant=variant)
    other = np.float32(factor) * student[..., ::-1]
    np.testing.assert_allclose(loss_of(teacher, other, variant=variant), plain, rtol=1e-4)
    np.testing.assert_allclose(loss_of(teacher, -student, variant=variant), plain, rtol=1e-6)
    twice = np.concatenate([student, student], axis=-1)
    np.testing.assert_allclose(loss_of(teacher, twice, variant=variant), plain, rtol=1e-5)
    mirrored = student[:, :, ::-1]
    assert np.abs(loss_of(teacher, mirrored, variant=variant) - plain).max() > 1e-3


def test_channels_are_averaged_before_normalising():
    """The trap of a zoo that normalises each channel's squares: one strong channel decides."""
    student = random_array(2, 3, 3, 4)
    student[..., 0] *= 1e3
    strong = loss_of(student[..., :1], student)
    np.testing.assert_allclose(strong, 0.0, atol=1e-4)


def test_features_are_pooled_before_they_are_squared():
    """Neighbours of opposite signs cancel, as in RepDistiller."""
    student = np.ones((1, 4, 2, 1), "float32")
    student[0, 1] = -1.0
    teacher = np.array([[[[0.0], [0.0]], [[1.0], [1.0]]]], "float32")
    np.testing.assert_allclose(loss_of(teacher, student), 0.0, atol=1e-6)


def gradient(teacher, student, **keywords):
    def total(s):
        return ops.sum(attention_transfer(teacher, s, **keywords))

    return value_and_gradients(total, inputs=[student])[2][0]


def test_the_papers_gradient_keeps_its_size_near_the_teacher():
    teacher = np.abs(random_array(1, 3, 3, 2)) + 0.5
    step = 0.01 * random_array(1, 3, 3, 2, seed=1)
    near = {v: np.abs(gradient(teacher, teacher + step, variant=v)).max() for v in VARIANTS}
    nearer = {v: np.abs(gradient(teacher, teacher + step / 10, variant=v)).max() for v in VARIANTS}
    assert nearer["paper"] == pytest.approx(near["paper"], rel=0.1)
    assert nearer["reference"] == pytest.approx(near["reference"] / 10, rel=0.1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("power", [1, 1.5, 2.0, 4.0])
def test_silent_and_equal_maps_have_a_finite_gradient(power, variant):
    teacher = random_array(2, 3, 3, 2)
    silent = np.zeros_like(teacher)
    half = teacher.copy()
    half[0] = 0.0
    for student in (silent, teacher, half):
        for given in (teacher, silent):
            found = gradient(given, student, power=power, variant=variant)
            assert np.isfinite(found).all()
    assert np.abs(gradient(teacher, teacher, power=power, variant=variant)).max() < 1e-6


def test_published_weights():
    assert AttentionTransfer().weight == 1.0
    assert AttentionTransfer(variant="reference").weight == 1000.0
    assert AttentionTransfer(variant="reference", weight=0.0).weight == 0.0
    assert AttentionTransfer().teacher_taps == ["stage1", "stage2", "stage3"]


MAPS = np.zeros((2, 4, 4, 3), "float32")


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((MAPS, MAPS[:, 0, 0]), r"compares maps \(batch, height, width, channels\).*\(2, 3\)"),
        (([MAPS, MAPS], [MAPS]), "as many features of the teacher as of the student.*2 and 1"),
        ((MAPS, MAPS[:1]), "compares the same samples.*one batch"),
    ],
)
def test_bad_features(sides, message):
    with pytest.raises(ValueError, match=message):
        attention_transfer(*sides)


def test_build_checks_the_shapes():
    loss = AttentionTransfer(["a", "b"], ["a", "b"])
    shape = (None, 4, 4, 3)
    with pytest.raises(ValueError, match="AttentionTransfer compares maps"):
        loss.build([shape, shape], [shape, (None, 3)])
    with pytest.raises(ValueError, match=r"features of known sizes.*fixed input size"):
        loss.build([shape, shape], [shape, (None, None, None, 3)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "code"}, "`variant` must be one of"),
        ({"power": 0.5}, "`power` must be a finite number >= 1 and <= 4"),
        ({"power": 8}, "`power` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AttentionTransfer(**arguments)
    with pytest.raises(ValueError, match=message):
        attention_transfer(MAPS, MAPS, **arguments)
