"""What every distillation loss has: taps, a weight, its place under a dtype policy."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses import DistillationLoss, Hint, SoftTargets
from tests.trainers.models import distiller, images


@keras.saving.register_keras_serializable(package="tests")
class Two(DistillationLoss):
    """Needs two pairs."""

    def call(self, teacher, student):
        return ops.mean(teacher[0] - student[0]) + ops.mean(teacher[1] - student[1])


def test_taps_are_spelled_for_the_extractor():
    loss = SoftTargets(teacher_tap="head_a", student_tap="head_b")
    assert (loss.teacher_taps, loss.student_taps) == (["head_a"], ["head_b"])
    loss = Two(teacher_tap=("stage1", "stage2"), student_tap=["a", "b"], pre_activation=True)
    assert loss.teacher_taps == ["stage1:pre", "stage2:pre"]
    assert loss.student_taps == ["a:pre", "b:pre"]
    assert loss.teacher_tap == ["stage1", "stage2"]


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        ({"teacher_tap": ["a", "b"], "student_tap": "a"}, "as many taps as each other"),
        ({"teacher_tap": [], "student_tap": []}, "`teacher_tap` must be a name"),
        ({"teacher_tap": "a", "student_tap": ""}, "`student_tap` must be a name"),
        ({"teacher_tap": "a", "student_tap": 3}, "`student_tap` must be a name"),
    ],
)
def test_bad_taps(taps, message):
    with pytest.raises(ValueError, match=message):
        Two(**taps)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "1", True])
def test_bad_weight(weight):
    with pytest.raises(ValueError, match="`weight` must be a finite number >= 0 or a keras"):
        SoftTargets(weight=weight)


def test_weight_is_a_number_or_follows_a_schedule():
    assert SoftTargets(weight=0.9).weight_at(ops.convert_to_tensor(7)) == 0.9
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([10], [1.0, 0.25])
    loss = SoftTargets(weight=schedule)
    loss = SoftTargets.from_config(loss.get_config())
    for step, weight in [(0, 1.0), (10, 1.0), (11, 0.25)]:
        assert float(loss.weight_at(ops.convert_to_tensor(step))) == weight


def test_the_weight_is_left_to_the_trainer():
    teacher, student = np.array([[2.0, 0.0]], "float32"), np.zeros((1, 2), "float32")
    heavy, light = SoftTargets(weight=5.0), SoftTargets(weight=0.0)
    assert float(heavy(teacher, student)[0]) == float(light(teacher, student)[0]) > 0


def test_losses_compute_in_float32_unless_told_otherwise():
    keras.config.set_dtype_policy("mixed_float16")
    assert SoftTargets().dtype_policy.name == "float32"
    loss = Hint(dtype="mixed_float16")
    value = loss(np.ones((2, 4, 4, 3), "float32"), np.ones((2, 4, 4, 2), "float32"))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert loss.trainable_variables[0].dtype == "float32"


class WithoutVariables(DistillationLoss):
    def call(self, teacher, student):
        return ops.mean(ops.square(teacher - student))


def test_a_loss_of_ones_own_needs_no_build():
    distiller([WithoutVariables()]).fit(*images(), verbose=0)
