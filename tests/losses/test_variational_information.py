"""VariationalInformation: the likelihood, its trained variance, and maps of unlike sizes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo.losses import VariationalInformation, variational_information
from tests.helpers import random_array, value_and_gradients


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_hand_computed_case():
    teacher, student = np.array([[1.0, 2.0]], "float32"), np.array([[3.0, 2.0]], "float32")
    expected = (0.5 * (4 / 2 + np.log(2)) + 0.5 * np.log(0.5)) / 2
    found = variational_information(teacher, student, np.array([2.0, 0.5], "float32"))
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)


def test_the_variance_of_a_channel_is_that_of_a_channel_not_of_a_column():
    teacher, student = random_array(2, 3, 4, 4), random_array(2, 3, 4, 4, seed=1)
    variance = np.array([0.5, 1.0, 2.0, 9.0], "float32")
    expected = 0.5 * ((teacher - student) ** 2 / variance + np.log(variance))
    found = variational_information(teacher, student, variance)
    np.testing.assert_allclose(numpy(found), expected.mean((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("start", [5.0, 0.01, 200.0])
def test_the_variance_starts_as_asked_and_is_trained_to_the_squared_error(start):
    loss = VariationalInformation("a", "b", projector=None, initial_variance=start)
    teacher, student = random_array(4, 3), random_array(4, 3, seed=1)
    loss.build(teacher.shape, student.shape)
    np.testing.assert_allclose(numpy(loss.variance), start, rtol=1e-4)
    squares = ((teacher - student) ** 2).mean(0)
    loss.raw_variance.assign(np.log(np.expm1(squares - 1e-5)))
    _, (gradient,), _ = value_and_gradients(
        lambda t, s: ops.mean(loss(t, s)), [loss.raw_variance], [teacher, student]
    )
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_a_large_raw_variance_does_not_overflow():
    """log(1 + exp(100)) is infinite in float32; softplus is 100."""
    loss = VariationalInformation("a", "b", projector=None)
    loss.build((2, 3), (2, 3))
    loss.raw_variance.assign(np.array([100.0, -100.0, 0.0], "float32"))
    np.testing.assert_allclose(numpy(loss.variance), [100.0, 1e-5, np.log(2) + 1e-5], rtol=1e-4)
    assert np.isfinite(numpy(loss(random_array(2, 3), random_array(2, 3, seed=1)))).all()


def by_hand(loss, teacher, student):
    """The mean network and the likelihood in NumPy, for maps of one size."""
    first, second, third = [numpy(dense.kernel) for dense in loss._mean.denses]
    mean = np.maximum(np.maximum(student @ first, 0) @ second, 0) @ third
    variance = numpy(loss.variance)
    values = 0.5 * ((teacher - mean) ** 2 / variance + np.log(variance))
    return values.reshape(len(values), -1).mean(-1)


POOLED = {
    "the student's is larger": ((4, 3), (8, 6)),
    "the teacher's is larger": ((8, 6), (4, 3)),
    "each in one axis": ((4, 6), (8, 3)),
    "no integer ratio": ((3, 2), (5, 7)),
}


def pooled(maps, height, width):
    """Adaptive average pooling by its definition."""
    given = maps.shape[1:3]
    result = np.zeros((len(maps), height, width, maps.shape[-1]))
    for i in range(height):
        for j in range(width):
            rows = slice(i * given[0] // height, -(-(i + 1) * given[0] // height))
            columns = slice(j * given[1] // width, -(-(j + 1) * given[1] // width))
            result[:, i, j] = maps[:, rows, columns].mean((1, 2))
    return result


@pytest.mark.parametrize("case", POOLED)
def test_the_larger_map_is_pooled_before_the_mean_network(case):
    of_teacher, of_student = POOLED[case]
    teacher, student = random_array(2, *of_teacher, 5), random_array(2, *of_student, 3, seed=1)
    loss = VariationalInformation("a", "b")
    found = numpy(loss(teacher, student))
    size = np.minimum(of_teacher, of_student)
    expected = by_hand(loss, pooled(teacher, *size), pooled(student, *size))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_vectors_have_dense_layers_of_the_teachers_width():
    loss = VariationalInformation("a", "b")
    teacher, student = random_array(3, 6), random_array(3, 4, seed=1)
    np.testing.assert_allclose(
        numpy(loss(teacher, student)), by_hand(loss, teacher, student), rtol=1e-4, atol=1e-5
    )
    assert [tuple(w.shape) for w in loss.weights] == [(6,), (4, 6), (6, 6), (6, 6)]
    assert loss.weight == 1.0


def test_a_layer_of_the_users_own_sees_the_whole_map():
    own = layers.Conv2D(5, 2, strides=2, name="own")
    loss = VariationalInformation("a", "b", projector=own)
    teacher, student = random_array(2, 3, 3, 5), random_array(2, 6, 6, 2)
    expected = variational_information(teacher, own(student))
    np.testing.assert_allclose(numpy(loss(teacher, student)), numpy(expected), rtol=1e-4)
    assert len(loss.trainable_variables) == 3
    again = VariationalInformation.from_config(loss.get_config())
    assert again.projector.get_config() == own.get_config()
    with pytest.raises(ValueError, match="5 channels of the teacher, 4 of the student"):
        VariationalInformation(projector=layers.Conv2D(4, 1)).build((2, 3, 3, 5), (2, 6, 6, 2))


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        ((2, 4, 4, 3), (2, 3), "taps of equal rank"),
        ((2, 4, 3), (2, 4, 3), "Choose other taps"),
        ((None, None, None, 3), (None, 4, 4, 3), "fixed input size"),
        ((2, 4, 4, None), (2, 4, 4, 3), "known sizes"),
    ],
)
def test_shapes_that_it_cannot_compare(teacher, student, message):
    with pytest.raises(ValueError, match=message):
        VariationalInformation().build(teacher, student)


def test_maps_of_one_unknown_size_need_no_pooling():
    loss = VariationalInformation("a", "b")
    loss.build((None, None, None, 3), (None, None, None, 2))
    assert loss(random_array(2, 4, 5, 3), random_array(2, 4, 5, 2)).shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"projector": "regressor"}, "`projector` must be 'mean_network', None or a Keras layer"),
        ({"initial_variance": 1e-5}, "`initial_variance` must be a finite number > 1e-05"),
        ({"teacher_tap": ["a"], "student_tap": ["b"]}, "give one VariationalInformation per pair"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        VariationalInformation(**arguments)
    with pytest.raises(ValueError, match="`variance` must be a finite number > 0"):
        variational_information(np.zeros((2, 3)), np.zeros((2, 3)), 0.0)
    with pytest.raises(ValueError, match="projector='mean_network'"):
        variational_information(np.zeros((2, 3)), np.zeros((2, 4)))


def test_all_its_weights_move_under_an_optimizer():
    loss = VariationalInformation("a", "b")
    teacher, student = random_array(8, 4), random_array(8, 3, seed=1)
    loss.build(teacher.shape, student.shape)
    before = loss.get_weights()
    optimizer = keras.optimizers.SGD(0.5)
    _, gradients, _ = value_and_gradients(
        lambda t, s: ops.mean(loss(t, s)), loss.trainable_variables, [teacher, student]
    )
    optimizer.apply([ops.convert_to_tensor(g) for g in gradients], loss.trainable_variables)
    assert len(before) == 4
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, loss.get_weights(), strict=True))
