"""FlowOfSolution: both formulas, how steps are made, and what must agree."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import FlowOfSolution, flow_of_solution
from tests.helpers import random_array, value_and_gradients
from tests.losses import references_activations as references

VARIANTS = ["paper", "reference"]


def loss_of(teacher, student, variant="paper"):
    return ops.convert_to_numpy(flow_of_solution(teacher, student, variant))


def features(*shapes, seed=0):
    return [random_array(3, *shape, seed=seed + n) for n, shape in enumerate(shapes)]


CASES = {
    "equal sizes": ([(4, 3, 2), (4, 3, 5)], [(4, 3, 2), (4, 3, 5)]),
    "halved": ([(8, 4, 2), (4, 2, 5)], [(8, 4, 2), (4, 2, 5)]),
    "the second is larger": ([(2, 2, 2), (6, 4, 5)], [(2, 2, 2), (6, 4, 5)]),
    "odd sizes": ([(7, 5, 2), (3, 4, 5)], [(5, 5, 2), (4, 2, 5)]),
    "each axis by itself": ([(2, 6, 2), (4, 3, 5)], [(4, 3, 2), (2, 6, 5)]),
    "another size of the student": ([(8, 8, 2), (4, 4, 3)], [(3, 2, 2), (3, 2, 3)]),
    "three maps": ([(8, 8, 2), (4, 4, 3), (2, 2, 4)], [(4, 4, 2), (4, 4, 3), (1, 1, 4)]),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", CASES)
def test_equals_the_formula(case, variant):
    teacher, student = (features(*s, seed=10 * n) for n, s in enumerate(CASES[case]))
    exact = ([maps.astype("float64") for maps in side] for side in (teacher, student))
    expected = references.flow_of_solution(*exact, variant=variant)
    np.testing.assert_allclose(loss_of(teacher, student, variant), expected, rtol=1e-4)


def test_hand_computed_case():
    """Two pixels, pooled to one: maxima (3, 1), means (2, 0)."""
    lower = np.array([[[[1.0, -1.0], [3.0, 1.0]]]], "float32")
    upper = np.array([[[[2.0]]]], "float32")
    silent = [np.zeros_like(lower), np.zeros_like(upper)]
    assert loss_of([lower, upper], silent)[0] == pytest.approx(6.0**2 + 2.0**2)
    value = loss_of([lower, upper], silent, "reference")[0]
    assert value == pytest.approx((4.0**2 + 0.0) / 2)


def test_the_variants_differ_by_the_size_of_the_matrix_where_nothing_is_pooled():
    shapes = [(4, 3, 6), (4, 3, 5)]
    teacher, student = features(*shapes), features(*shapes, seed=10)
    reference = loss_of(teacher, student, "reference")
    np.testing.assert_allclose(loss_of(teacher, student), 30 * reference, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps_are_consecutive_maps_and_add_up(variant):
    shapes = [(4, 4, 2), (4, 4, 3), (2, 2, 2)]
    teacher, student = features(*shapes), features(*shapes, seed=10)
    steps = [loss_of(teacher[n : n + 2], student[n : n + 2], variant) for n in range(2)]
    np.testing.assert_allclose(loss_of(teacher, student, variant), sum(steps), rtol=1e-5)


def test_the_flow_forgets_where_but_not_how_much():
    teacher, student = features((4, 4, 2), (4, 4, 3)), features((4, 4, 2), (4, 4, 3), seed=10)
    plain = loss_of(teacher, student)
    moved = [maps[:, ::-1, ::-1] for maps in student]
    np.testing.assert_allclose(loss_of(teacher, moved), plain, rtol=1e-5)
    scaled = [2 * student[0], student[1] / 2]
    np.testing.assert_allclose(loss_of(teacher, scaled), plain, rtol=1e-5)
    assert np.abs(loss_of(teacher, [2 * student[0], student[1]]) - plain).max() > 0.1


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_map_of_the_student_is_taught(variant):
    shapes = [(7, 4, 2), (3, 4, 3), (2, 2, 4)]
    teacher, student = features(*shapes), features(*shapes, seed=10)
    _, _, found = value_and_gradients(
        lambda *maps: ops.sum(flow_of_solution(teacher, list(maps), variant)), inputs=student
    )
    assert all(np.isfinite(g).all() and np.abs(g).max() > 1e-5 for g in found)


def test_published_weights_and_stage():
    assert FlowOfSolution().weight == 1.0
    assert FlowOfSolution(variant="reference").weight == 1.0
    assert FlowOfSolution(weight=0.5).weight == 0.5
    assert FlowOfSolution().teacher_taps == ["stage1", "stage2", "stage3"]
    loss = FlowOfSolution(stage="pretrain")
    assert FlowOfSolution.from_config(loss.get_config()).stage == "pretrain"


def test_bad_taps():
    with pytest.raises(ValueError, match="lists of at least two names"):
        FlowOfSolution("stage1", "stage2")
    with pytest.raises(ValueError, match="lists of at least two names"):
        FlowOfSolution(["stage1"], ["stage2"])
    with pytest.raises(ValueError, match="`variant` must be one of"):
        FlowOfSolution(variant="code")


MAPS = np.zeros((2, 4, 4, 3), "float32")


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((MAPS, MAPS), "at least two of each model. Received: 1. Name more taps"),
        (([MAPS, MAPS], [MAPS, MAPS, MAPS]), "as many features of the teacher.*2 and 3"),
        (([MAPS, MAPS], [MAPS, MAPS[..., :2]]), r"teacher \[3, 3\], student \[3, 2\].*connector"),
        (([MAPS, MAPS], [MAPS, MAPS[:, 0, 0]]), r"compares maps \(batch, height, width"),
    ],
)
def test_bad_features(sides, message):
    with pytest.raises(ValueError, match=message):
        flow_of_solution(*sides)


def test_build_checks_the_shapes():
    loss, shape = FlowOfSolution(["a", "b"], ["a", "b"]), (None, 4, 4, 3)
    with pytest.raises(ValueError, match="equal channels at each tap"):
        loss.build([shape, shape], [shape, (None, 4, 4, 5)])
    with pytest.raises(ValueError, match="features of known sizes"):
        loss.build([shape, shape], [shape, (None, None, 4, 3)])


def test_a_connector_takes_other_channels_and_leaves_equal_ones_alone():
    taps = ["a", "b"]
    shapes = [(2, 4, 4, 3), (2, 2, 2, 5)]
    loss = FlowOfSolution(taps, taps, projector="connector")
    loss.build(shapes, [(2, 4, 4, 3), (2, 2, 2, 2)])
    assert {tuple(v.shape) for v in loss.trainable_variables} == {(1, 1, 2, 5), (5,)}
    teacher = [random_array(*shape, seed=n) for n, shape in enumerate(shapes)]
    student = [random_array(2, 4, 4, 3, seed=5), random_array(2, 2, 2, 2, seed=6)]
    assert loss(teacher, student).shape == (2,)
    with pytest.raises(ValueError, match=r"equal channels at each tap.*projector='connector'"):
        FlowOfSolution(taps, taps).build(shapes, [(2, 4, 4, 3), (2, 2, 2, 2)])
