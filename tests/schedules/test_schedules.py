"""The published schedules, value by value, and that they are part of the graph."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import schedules
from kzoo.losses import SoftTargets


def values(schedule, steps):
    return [float(schedule(ops.convert_to_tensor(step))) for step in steps]


def test_linear_runs_from_one_number_to_the_other_and_stays():
    np.testing.assert_allclose(
        values(schedules.Linear(4, 1, 10), [0, 5, 10, 99]), [4, 2.5, 1, 1], rtol=1e-6
    )


def test_the_soft_term_of_boundary_samples():
    """r(e) = 3 (1 - e / E) + 1, one value an epoch."""
    epochs, per_epoch = 8, 5
    schedule = schedules.Linear(4.0, 1.0, epochs * per_epoch, every=per_epoch)
    expected = [3 * (1 - e / epochs) + 1 for e in range(epochs) for _ in range(per_epoch)]
    np.testing.assert_allclose(values(schedule, range(epochs * per_epoch)), expected, rtol=1e-6)


def test_the_attacked_term_of_boundary_samples():
    """a(e) = max(2 (1 - 4 e / (3 E)), 0)."""
    epochs, per_epoch = 8, 5
    schedule = schedules.RampDown(2.0, epochs * per_epoch, every=per_epoch)
    expected = [
        max(2 * (1 - 4 * e / (3 * epochs)), 0) for e in range(epochs) for _ in range(per_epoch)
    ]
    found = values(schedule, range(epochs * per_epoch))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[-1] == 0 < found[5 * per_epoch]


def test_the_warm_up_of_decoupled_knowledge():
    """min(e / 20, 1), where the first epoch e is 1."""
    schedule = schedules.WarmUp(8.0, 20 * 3, every=3)
    expected = [8 * min(e / 20, 1) for e in range(1, 26) for _ in range(3)]
    np.testing.assert_allclose(values(schedule, range(75)), expected, rtol=1e-6)


def test_a_warm_up_by_steps_is_never_zero():
    found = values(schedules.WarmUp(8.0, 4), range(6))
    np.testing.assert_allclose(found, [2, 4, 6, 8, 8, 8], rtol=1e-6)


def test_cosine():
    expected = [3 + np.cos(np.pi * s / 4) for s in range(5)]
    np.testing.assert_allclose(values(schedules.Cosine(4, 2, 4), range(5)), expected, rtol=1e-6)


def test_constant():
    assert values(schedules.Constant(0.5), [0, 7]) == [0.5, 0.5]


def test_a_weight_follows_its_schedule_and_survives_serialisation():
    loss = SoftTargets(weight=schedules.RampDown(2.0, 12, every=3))
    again = SoftTargets.from_config(loss.get_config())
    for step in (0, 4, 11):
        found, expected = (float(x.weight_at(ops.convert_to_tensor(step))) for x in (again, loss))
        assert found == expected
    config = keras.saving.serialize_keras_object(loss.weight)
    assert keras.saving.deserialize_keras_object(config).get_config() == loss.weight.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.Linear(1, 0, 0), "`steps` must be an integer >= 1"),
        (lambda: schedules.WarmUp(1, 5, every=0), "`every` must be an integer >= 1"),
        (lambda: schedules.RampDown(1, 5, share=0), r"`share` must be in \(0, 1\]"),
        (lambda: schedules.Cosine(1, 0, 2.5), "`steps` must be an integer >= 1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_steps_may_be_an_integer_of_numpy():
    assert schedules.Linear(1, 0, np.int64(10)).get_config()["steps"] == 10
