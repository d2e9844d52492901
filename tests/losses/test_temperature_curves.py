"""The study of temperatures: probabilities, entropy, and the slope of the approximation."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import SoftTargets, temperature_curves
from tests.helpers import random_array, value_and_gradients


def test_by_hand():
    curves = temperature_curves([[np.log(4.0) * 2, 0.0]], [1.0, 2.0])
    np.testing.assert_allclose(curves["probabilities"][:, 0], [[16 / 17, 1 / 17], [0.8, 0.2]])
    entropy = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    np.testing.assert_allclose(curves["entropy"][1], [entropy])


def test_high_temperatures_make_the_distribution_uniform():
    curves = temperature_curves(random_array(5, 7, scale=4.0), [1, 10, 1000])
    assert np.all(np.diff(curves["entropy"], axis=0) > 0)
    np.testing.assert_allclose(curves["entropy"][-1], np.log(7), rtol=1e-4)
    assert curves["probabilities"].shape == (3, 5, 7)


def test_the_error_of_the_approximation_has_slope_minus_one():
    teacher, student = (random_array(64, 10, seed=n, scale=3.0) for n in range(2))
    temperatures = np.geomspace(50, 5000, 9)
    error = temperature_curves(teacher + 7.0, temperatures, student)["gradient_error"]
    slope = np.polyfit(np.log(temperatures), np.log(error), 1)[0]
    np.testing.assert_allclose(slope, -1.0, atol=0.02)


def test_the_gradient_is_that_of_soft_targets():
    teacher, student = (random_array(6, 4, seed=n) for n in range(2))
    temperature = 3.0
    loss = SoftTargets(temperature)
    _, _, (_, found) = value_and_gradients(
        lambda t, s: ops.sum(loss(t, s)), inputs=[teacher, student]
    )
    exact = found / temperature**2  # SoftTargets carries the factor T²
    centred = (student - student.mean(-1, keepdims=True)) - (
        teacher - teacher.mean(-1, keepdims=True)
    )
    approximation = centred / (4 * temperature**2)
    expected = np.linalg.norm(exact - approximation) / np.linalg.norm(exact)
    curves = temperature_curves(teacher, [temperature], student)
    np.testing.assert_allclose(curves["gradient_error"], [expected], rtol=1e-3)


def test_equal_logits_have_no_gradient_and_no_error():
    assert temperature_curves([[1.0, 2.0]], [4.0], [[1.0, 2.0]])["gradient_error"] == [0.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], [0.0]), "`temperature` must be a finite number > 0"),
        (([[1.0, 2.0]], []), "`temperatures` is empty"),
        (([[1.0]], [1.0]), "at least 2 classes"),
        (([[1.0, np.nan]], [1.0]), "must be finite"),
        (([[1.0, 2.0]], [1.0], [[1.0, 2.0, 3.0]]), "`student` the same"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        temperature_curves(*arguments)
