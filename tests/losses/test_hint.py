"""Hint: the formula, the regressors that shapes call for, and how losses share one."""

import numpy as np
import pytest
from keras import layers, ops

from kzoo.losses import Hint, hint
from kzoo.losses._projector import build_losses, project, shared_projections
from tests.helpers import random_array, value_and_gradients


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def children(loss):
    """Class, kernel and strides of the regressor's layers."""
    loss_layers = loss._projection._flatten_layers(include_self=False)
    return [
        (type(x).__name__, getattr(x, "kernel_size", None), getattr(x, "strides", None))
        for x in loss_layers
    ]


@pytest.mark.parametrize("variant", ["paper", "reference"])
@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 7)])
def test_value_and_gradient_equal_the_formula(shape, variant):
    teacher, student = (random_array(*shape, seed=n) for n in range(2))
    axes = tuple(range(1, len(shape)))
    difference = student.astype("float64") - teacher
    share = 0.5 if variant == "paper" else 1 / np.prod(shape[1:])
    expected = share * (difference**2).sum(axes)
    np.testing.assert_allclose(numpy(hint(teacher, student, variant)), expected, rtol=1e-5)
    _, _, (by_teacher, by_student) = value_and_gradients(
        lambda t, s: ops.sum(hint(t, s, variant)), inputs=[teacher, student]
    )
    np.testing.assert_allclose(by_student, 2 * share * difference, rtol=1e-4, atol=1e-7)
    assert by_teacher is None or not by_teacher.any()


def test_one_sample_is_not_compared_with_many():
    with pytest.raises(ValueError, match=r"same samples.*teacher \(1, 3\), student \(4, 3\)"):
        hint(random_array(1, 3), random_array(4, 3))


def test_large_float16_features_do_not_overflow():
    teacher, student = np.full((2, 3), -300.0, "float16"), np.full((2, 3), 300.0, "float16")
    np.testing.assert_allclose(numpy(hint(teacher, student, "reference")), 600.0**2, rtol=1e-5)


SHAPES = {
    "equal": ((4, 4, 5), (4, 4, 3), ("Conv2D", (1, 1), (1, 1))),
    "half": ((4, 3, 5), (8, 6, 3), ("Conv2D", (3, 3), (2, 2))),
    "a little smaller": ((5, 4, 5), (7, 7, 3), ("Conv2D", (3, 4), (1, 1))),
    "half of one axis": ((4, 6, 5), (8, 6, 3), ("Conv2D", (3, 1), (2, 1))),
    "half of one axis, less of the other": ((4, 4, 5), (8, 6, 3), ("Conv2D", (3, 3), (2, 1))),
    "one of two": ((1, 1, 5), (2, 2, 3), ("Conv2D", (3, 3), (2, 2))),
    "much smaller": ((2, 2, 5), (7, 9, 3), ("Conv2D", (6, 8), (1, 1))),
    "double": ((8, 6, 5), (4, 3, 3), ("Conv2DTranspose", (4, 4), (2, 2))),
    "vectors": ((5,), (3,), ("Dense", None, None)),
}


@pytest.mark.parametrize("variant", ["paper", "reference"])
@pytest.mark.parametrize("case", SHAPES)
def test_the_regressor_follows_from_the_shapes(case, variant):
    teacher_shape, student_shape, expected = SHAPES[case]
    teacher, student = random_array(2, *teacher_shape), random_array(2, *student_shape, seed=1)
    loss = Hint("a", "b", variant=variant)
    assert loss(teacher, student).shape == (2,)
    assert expected in children(loss)
    assert project(loss._projection, student).shape == teacher.shape
    kinds = [kind for kind, *_ in children(loss)]
    assert ("BatchNormalization" in kinds) == (variant == "reference")
    rectified = numpy(project(loss._projection, student, training=True)).min() >= 0
    assert rectified == (variant == "reference")


def test_strided_regressor_equals_torchs_padding():
    """Kernel of one tap: shows which pixels a stride 2, padding 1 convolution reads."""
    loss = Hint("a", "b")
    loss.build((None, 2, 2, 1), (None, 4, 4, 1))
    kernel = np.zeros((3, 3, 1, 1), "float32")
    kernel[1, 1] = 1.0
    loss._projection.mapping.set_weights([kernel, np.zeros(1, "float32")])
    image = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(numpy(project(loss._projection, image)), image[:, ::2, ::2])


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_the_regressor_is_trained_and_the_teacher_is_not(variant):
    loss = Hint("a", "b", variant=variant)
    teacher, student = random_array(4, 4, 4, 5) + 1, random_array(4, 8, 8, 3, seed=1)
    loss.build(teacher.shape, student.shape)
    assert loss.trainable_variables
    _, by_variable, (by_teacher, by_student) = value_and_gradients(
        lambda t, s: ops.sum(loss(t, s, training=True)),
        loss.trainable_variables,
        [teacher, student],
    )
    assert all(np.isfinite(g).all() for g in by_variable)
    assert sum(np.abs(g).max() > 1e-6 for g in by_variable) >= (3 if variant == "reference" else 2)
    assert np.abs(by_student).max() > 0
    assert by_teacher is None or not by_teacher.any()


@pytest.mark.parametrize("activation", ["linear", None])
def test_an_activation_that_was_asked_for_is_not_replaced(activation):
    loss = Hint("a", "b", variant="reference", activation=activation)
    loss = Hint.from_config(loss.get_config())
    loss.build((4, 2, 2, 5), (4, 4, 4, 3))
    found = numpy(project(loss._projection, random_array(4, 4, 4, 3)))
    assert (found.min() < 0) == (activation == "linear")


def test_each_sample_has_its_own_value_at_inference():
    loss = Hint("a", "b", variant="reference")
    teacher, student = random_array(4, 2, 2, 5), random_array(4, 4, 4, 3, seed=1)
    whole = numpy(loss(teacher, student))
    parts = [numpy(loss(teacher[n : n + 1], student[n : n + 1])) for n in range(4)]
    np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-4)


def test_no_projector_compares_the_features_as_they_are():
    teacher, student = (random_array(2, 4, 3, 2, seed=n) for n in range(2))
    loss = Hint("a", "b", projector=None)
    np.testing.assert_array_equal(numpy(loss(teacher, student)), numpy(hint(teacher, student)))
    assert numpy(loss(student, student)).max() == 0
    assert not loss.weights
    with pytest.raises(ValueError, match=r"features of equal shapes.*projector='regressor'"):
        Hint("a", "b", projector=None).build((None, 4, 3, 2), (None, 4, 3, 5))


def test_a_layer_of_the_users_own():
    own = layers.Conv2D(5, 2, strides=3, name="own")
    loss = Hint("a", "b", projector=own)
    teacher, student = random_array(2, 2, 2, 5), random_array(2, 6, 6, 3)
    expected = hint(teacher, own(student))
    np.testing.assert_allclose(numpy(loss(teacher, student)), numpy(expected), rtol=1e-5)
    assert [id(v) for v in loss.trainable_variables] == [id(v) for v in own.trainable_variables]
    again = Hint.from_config(loss.get_config())
    assert again.projector.get_config() == own.get_config()
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 5\) after its projector"):
        Hint("a", "b", projector=layers.Conv2D(5, 3)).build((2, 2, 2, 5), (2, 6, 6, 3))


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        ((2, 8, 8, 5), (2, 3, 3, 3), r"student \(3, 3\), teacher \(8, 8\).*nearer sizes"),
        ((2, 8, 4, 5), (2, 4, 4, 3), "no larger, or twice as large on both axes"),
        ((2, 8, 8, 5), (2, 3), "Choose taps of equal rank"),
        ((2, None, None, 5), (2, None, None, 3), "Build the models with a fixed input size"),
    ],
)
def test_shapes_without_a_regressor(teacher, student, message):
    with pytest.raises(ValueError, match=message):
        Hint("a", "b").build(teacher, student)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "code"}, "`variant` must be one of"),
        ({"projector": "conv"}, "`projector` must be 'regressor', None or a Keras layer"),
        ({"teacher_tap": ["a"], "student_tap": ["b"]}, "give one Hint per pair"),
        ({"teacher_tap": "a", "student_tap": ["b"]}, r"give one Hint per pair.*\['b'\]"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Hint(**arguments)


class Counted(layers.Dense):
    """Counts its calls."""

    passes = 0

    def call(self, inputs, training=None):
        self.passes += 1
        return super().call(inputs)


SHAPE = {"a": (None, 5), "b": (None, 3), "c": (None, 3)}


def test_losses_of_one_pair_share_one_projector_and_its_output():
    losses = [Hint("a", "b"), Hint("a", "b"), Hint("a", "c"), Hint("a", "b", variant="reference")]
    build_losses(losses, SHAPE, SHAPE)
    kinds = [id(loss._projection) for loss in losses]
    assert kinds[0] == kinds[1]
    assert len(set(kinds)) == 3
    own = Counted(5)
    losses = [Hint("a", "b", projector=own), Hint("a", "b", projector=own)]
    build_losses(losses, SHAPE, SHAPE)
    teacher, student = (
        ops.convert_to_tensor(random_array(2, 5)),
        ops.convert_to_tensor(random_array(2, 3)),
    )
    own.passes = 0
    with shared_projections():
        first, second = (loss(teacher, student, training=True) for loss in losses)
    np.testing.assert_array_equal(numpy(first), numpy(second))
    assert own.passes == 1
    losses[0](teacher, student)
    assert own.passes == 2


def test_sharing_survives_serialisation():
    own = layers.Dense(5, name="own")
    losses = [Hint("a", "b", projector=own), Hint("a", "b", projector=own)]
    again = [Hint.from_config(loss.get_config()) for loss in losses]
    assert again[0].projector is not again[1].projector
    build_losses(again, SHAPE, SHAPE)
    assert again[0]._projection is again[1]._projection
