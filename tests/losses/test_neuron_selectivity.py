"""NeuronSelectivity: the kernels neuron by neuron against the Gram matrices."""

import sys

import numpy as np
import pytest
from keras import ops

from kzoo.losses import NeuronSelectivity, neuron_selectivity
from tests.helpers import random_array, value_and_gradients
from tests.losses import references_activations as references

# The package exports the function under the name of its module.
MODULE = sys.modules["kzoo.losses.neuron_selectivity"]
VARIANTS = ["paper", "reference"]
MAPS = np.zeros((2, 4, 4, 3), "float32")


def loss_of(teacher, student, **keywords):
    return ops.convert_to_numpy(neuron_selectivity(teacher, student, **keywords))


SHAPES = {
    "few channels": ((4, 4, 3), (4, 4, 5)),
    "many channels": ((2, 2, 9), (2, 2, 7)),
    "many of the teacher": ((3, 2, 12), (3, 2, 2)),
    "many of the student": ((3, 2, 2), (3, 2, 12)),
    "other sizes": ((6, 4, 3), (3, 2, 5)),
    "odd sizes": ((7, 3, 3), (5, 4, 5)),
    "one position": ((1, 1, 4), (2, 2, 3)),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("constant", [0.0, 0.5])
@pytest.mark.parametrize("case", SHAPES)
def test_equals_the_kernels_one_by_one(case, constant, variant):
    teacher, student = (random_array(3, *s, seed=n) for n, s in enumerate(SHAPES[case]))
    values = loss_of(teacher, student, constant=constant, variant=variant)
    exact = (side.astype("float64") for side in (teacher, student))
    expected = references.neuron_selectivity(*exact, constant=constant, variant=variant)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=2e-6)


@pytest.fixture
def forms(monkeypatch):
    """Records which form is used."""
    used = []
    for name in ("_by_channels", "_by_positions"):
        original = getattr(MODULE, name)

        def wrapped(*arguments, original=original, name=name):
            used.append(name)
            return original(*arguments)

        monkeypatch.setattr(MODULE, name, wrapped)
    return used


@pytest.mark.parametrize(
    ("teacher", "student", "form"),
    [
        ((4, 4, 16), (4, 4, 16), "_by_channels"),
        ((4, 4, 17), (4, 4, 2), "_by_positions"),
        ((4, 4, 2), (4, 4, 17), "_by_positions"),
        ((8, 8, 17), (4, 4, 17), "_by_positions"),
    ],
)
def test_the_smaller_gram_matrices_are_used(forms, teacher, student, form):
    loss_of(random_array(1, *teacher), random_array(1, *student))
    assert forms == [form]


@pytest.mark.parametrize("complete", [True, False])
def test_both_forms_agree_in_value_and_gradient(complete):
    teacher, student = random_array(3, 6, 5), random_array(3, 6, 7, seed=1)
    found = []
    for form in (MODULE._by_channels, MODULE._by_positions):
        value, _, (by_student,) = value_and_gradients(
            lambda s, form=form: ops.sum(form(ops.convert_to_tensor(teacher), s, complete)),
            inputs=[student],
        )
        found.append((value, by_student))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-5)


def test_hand_computed_case():
    """Two neurons of the student at one pixel each; the teacher's one neuron sees the first."""
    student = np.array([[[[2.0, 0.0], [0.0, 3.0]]]], "float32")
    teacher = np.array([[[[5.0], [0.0]]]], "float32")
    # Student with itself 1/2, with the teacher 1/2, teacher with itself 1.
    assert loss_of(teacher, student)[0] == pytest.approx(0.5 - 2 * 0.5 + 1.0, rel=1e-6)
    value = loss_of(teacher, student, variant="reference")[0]
    assert value == pytest.approx(-0.5, rel=1e-6)
    # (a·b + 1)²: pairs of student 4, 1, 1, 4; with the teacher 4, 1; teacher 4.
    assert loss_of(teacher, student, constant=1.0)[0] == pytest.approx(2.5 - 5 + 4, rel=1e-6)
    value = loss_of(teacher, student, constant=1.0, variant="reference")[0]
    assert value == pytest.approx(-2.5, rel=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.5])
@pytest.mark.parametrize("size", [(4, 4), (1, 2)])
def test_the_reference_lacks_what_only_the_teacher_decides(size, constant):
    teacher, student = random_array(2, *size, 5), random_array(2, *size, 3, seed=1)
    other = random_array(2, *size, 3, seed=2)
    keywords = {"constant": constant}
    gaps = [
        loss_of(teacher, s, **keywords) - loss_of(teacher, s, variant="reference", **keywords)
        for s in (student, other)
    ]
    np.testing.assert_allclose(gaps[0], gaps[1], atol=1e-5)
    assert (gaps[0] > 0).all()
    assert (gaps[0] <= (1 + constant) ** 2 + 1e-5).all()
    by_student = [
        value_and_gradients(
            lambda s, v=v: ops.sum(neuron_selectivity(teacher, s, constant, v)), inputs=[student]
        )[2][0]
        for v in VARIANTS
    ]
    np.testing.assert_allclose(by_student[0], by_student[1], rtol=1e-3, atol=1e-5)


def test_the_references_epsilon_shrinks_the_patterns_of_faint_neurons():
    teacher, student = random_array(2, 4, 4, 5), 1e-5 * random_array(2, 4, 4, 3, seed=1)
    exact = [side.astype("float64") for side in (teacher, student)]
    for variant in VARIANTS:
        expected = references.neuron_selectivity(*exact, variant=variant)
        values = loss_of(teacher, student, variant=variant)
        np.testing.assert_allclose(values, expected, rtol=1e-4)
    loud = loss_of(teacher, 1e5 * student, variant="reference")
    assert np.abs(loud / values - 1).min() > 1e-3


def test_scale_and_order_of_neurons_do_not_matter():
    teacher, student = random_array(2, 4, 4, 5), random_array(2, 4, 4, 6, seed=1)
    scales = np.array([1e-2, 3.0, 100.0, 1.0, 7.0, 0.5], "float32")
    plain = loss_of(teacher, student)
    np.testing.assert_allclose(loss_of(teacher, (scales * student)[..., ::-1]), plain, rtol=1e-4)
    np.testing.assert_allclose(loss_of(teacher, teacher[..., ::-1]), 0.0, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(4, 4), (1, 2)])
def test_a_silent_neuron_has_a_finite_gradient(size, variant):
    teacher, student = np.abs(random_array(2, *size, 5)), np.abs(random_array(2, *size, 3, seed=1))
    student[..., 1] = 0.0
    _, _, (by_student,) = value_and_gradients(
        lambda s: ops.sum(neuron_selectivity(teacher, s, variant=variant)), inputs=[student]
    )
    assert np.isfinite(by_student).all()
    assert np.abs(by_student).max() < 1e3
    assert np.abs(by_student).max() > 0


def test_published_weight_and_arguments():
    assert NeuronSelectivity().weight == NeuronSelectivity(variant="reference").weight == 50.0
    assert NeuronSelectivity(weight=2.0).weight == 2.0
    assert NeuronSelectivity().teacher_taps == ["stage3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "code"}, "`variant` must be one of"),
        ({"constant": -1.0}, "`constant` must be a finite number >= 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuronSelectivity(**arguments)
    with pytest.raises(ValueError, match=message):
        neuron_selectivity(MAPS, MAPS, **arguments)


def test_bad_features():
    with pytest.raises(ValueError, match="give one NeuronSelectivity per pair"):
        NeuronSelectivity(["a", "b"], ["a", "b"])
    with pytest.raises(ValueError, match="NeuronSelectivity compares maps"):
        neuron_selectivity(MAPS, MAPS[:, 0, 0])
    with pytest.raises(ValueError, match=r"features of known sizes.*fixed input size"):
        NeuronSelectivity().build((None, 4, 4, 3), (None, None, None, 3))
