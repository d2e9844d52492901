"""ActivationBoundary: its formula by hand, the order of stages, connectors, the diagnostic."""

import numpy as np
import pytest
from keras import layers, ops

from kzoo.losses import ActivationBoundary, activation_boundary
from kzoo.losses._features import pool_to
from tests.helpers import random_array, value_and_gradients


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def maps(*values):
    return np.array(values, "float32").reshape(1, 1, -1, 1)


@pytest.mark.parametrize(
    ("teacher", "student", "value", "slope"),
    [
        (2.0, 3.0, 0.0, 0.0),
        (2.0, 1.0, 0.0, 0.0),
        (2.0, 0.5, 0.25, -1.0),
        (0.1, -1.0, 4.0, -4.0),
        (-5.0, -2.0, 0.0, 0.0),
        (-5.0, -0.5, 0.25, 1.0),
        (-0.1, 1.0, 4.0, 4.0),
        (0.0, 0.0, 1.0, 2.0),
    ],
)
def test_each_side_of_the_boundary(teacher, student, value, slope):
    """A teacher of exactly 0 counts as not active."""
    found, _, (_, gradient) = value_and_gradients(
        lambda t, s: ops.sum(activation_boundary(t, s)), inputs=[maps(teacher), maps(student)]
    )
    assert found == pytest.approx(value)
    assert gradient.item() == pytest.approx(slope)


def test_the_margin_scales_with_its_argument():
    assert float(activation_boundary(maps(1.0), maps(0.0), margin=3.0)[0]) == 9.0


def test_deeper_stages_count_double():
    teacher, values = [maps(1.0)] * 3, []
    for stage in range(3):
        student = [maps(1.0)] * 3
        student[stage] = maps(0.0)
        values.append(float(activation_boundary(teacher, student)[0]))
    assert values == [0.25, 0.5, 1.0]


def test_maps_are_summed_not_averaged():
    teacher, student = np.ones((2, 3, 5, 4), "float32"), np.zeros((2, 3, 5, 4), "float32")
    np.testing.assert_array_equal(numpy(activation_boundary(teacher, student)), [60, 60])
    assert ActivationBoundary("a", "b").weight == pytest.approx(0.003)


@pytest.mark.parametrize("sizes", [((4, 6), (2, 3)), ((5, 3), (7, 8)), ((3, 7), (5, 4))])
def test_unlike_sizes_meet_at_the_smaller(sizes):
    teacher, student = (random_array(2, *size, 3, seed=n) for n, size in enumerate(sizes))
    size = np.minimum(*sizes)
    expected = activation_boundary(pool_to(teacher, *size), pool_to(student, *size))
    np.testing.assert_allclose(numpy(activation_boundary(teacher, student)), numpy(expected))


def test_connectors_only_where_channels_differ():
    loss = ActivationBoundary(["a", "b"], ["a", "b"])
    teacher = [random_array(4, 4, 4, 3), random_array(4, 2, 2, 5)]
    student = [random_array(4, 4, 4, 3, seed=1), random_array(4, 2, 2, 2, seed=2)]
    at_inference, in_training = (numpy(loss(teacher, student, training=t)) for t in (False, True))
    names = [variable.path.split("/", 1)[1] for variable in loss.trainable_variables]
    assert names == [
        "connector_1/convolution/kernel",
        "connector_1/normalization/gamma",
        "connector_1/normalization/beta",
    ]
    assert loss.trainable_variables[0].shape == (1, 1, 2, 5)
    assert not np.allclose(at_inference, in_training)
    statistics = [v for v in loss.non_trainable_variables if v.path.endswith("moving_mean")]
    assert np.abs(numpy(statistics[0])).max() > 0


def test_the_diagnostic_counts_signs_and_leaves_statistics_alone():
    teacher, student = maps(1.0, 2.0, -3.0, 0.0), maps(5.0, -1.0, -1.0, 1.0)
    loss = ActivationBoundary("a", "b", projector=None)
    loss(teacher, student)
    assert float(loss.diagnostics(teacher, student)["sign_disagreement"]) == 0.5
    loss = ActivationBoundary(["a", "b"], ["a", "b"], projector=None)
    loss([teacher, maps(1.0)], [student, maps(1.0)])
    found = loss.diagnostics([teacher, maps(1.0)], [student, maps(1.0)])
    assert float(found["sign_disagreement"]) == pytest.approx(2 / 5)
    loss = ActivationBoundary("a", "b")
    teacher, student = random_array(2, 3, 3, 4), random_array(2, 3, 3, 2)
    loss(teacher, student)
    before = loss.get_weights()
    assert 0 < float(loss.diagnostics(teacher, student)["sign_disagreement"]) < 1
    assert all(map(np.array_equal, before, loss.get_weights()))


def test_layers_of_the_users_own():
    teacher = [random_array(2, 4, 4, 3), random_array(2, 2, 2, 5)]
    student = [random_array(2, 4, 4, 2, seed=1), random_array(2, 2, 2, 5, seed=2)]
    own = layers.Conv2D(3, 1, name="own")
    loss = ActivationBoundary(["a", "b"], ["a", "b"], projector=[own, None])
    expected = activation_boundary(teacher, [own(student[0]), student[1]])
    np.testing.assert_allclose(numpy(loss(teacher, student)), numpy(expected), rtol=1e-5)
    assert [id(v) for v in loss.trainable_variables] == [id(v) for v in own.trainable_variables]
    again = ActivationBoundary.from_config(loss.get_config())
    assert again.projector[0].get_config() == own.get_config()
    assert again.projector[1] is None
    single = ActivationBoundary("a", "b", projector=layers.Conv2D(3, 1, name="own"))
    assert ActivationBoundary.from_config(single.get_config()).projector.filters == 3
    assert single(teacher[0], student[0]).shape == (2,)


def test_taps_are_read_before_their_activation():
    loss = ActivationBoundary("stage1", "stage2")
    assert (loss.teacher_taps, loss.student_taps) == (["stage1:pre"], ["stage2:pre"])
    again = ActivationBoundary.from_config(
        ActivationBoundary("a", "b", pre_activation=False).get_config()
    )
    assert again.teacher_taps == ["a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0.0}, "`margin` must be a finite number > 0"),
        ({"projector": "conv"}, r"`projector` must be 'connector'.*projector='conv'"),
        ({"projector": layers.Conv2D(3, 1)}, "one per pair of 3"),
        ({"projector": ["connector"]}, "one per pair of 3"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ActivationBoundary(**arguments)


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"maps \(batch, height.*Choose other taps"):
        ActivationBoundary("a", "b").build((None, 8), (None, 4))
    with pytest.raises(ValueError, match=r"5 of the teacher, 3 of the student.*'connector'"):
        ActivationBoundary("a", "b", projector=None).build((None, 4, 4, 5), (None, 4, 4, 3))
    with pytest.raises(ValueError, match="5 of the teacher, 3 of the student"):
        activation_boundary(np.ones((1, 2, 2, 5)), np.ones((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="same samples"):
        activation_boundary(np.ones((1, 2, 2, 3)), np.ones((4, 2, 2, 3)))
    with pytest.raises(ValueError, match="one feature of each side per tap"):
        ActivationBoundary().build((None, 4, 4, 5), (None, 4, 4, 3))
