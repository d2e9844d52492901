"""The arguments of trainers, checked at the door."""

import keras
from keras import ops

from kzoo.losses import DistillationLoss

Schedule = keras.optimizers.schedules.LearningRateSchedule


def check_arguments(losses, task_weight):
    """Refuse losses and a task weight that a `Distiller` cannot work with."""
    wrong = [loss for loss in losses if not isinstance(loss, DistillationLoss)]
    if wrong or not losses:
        raise ValueError(
            "`losses` must be a kzoo.losses.DistillationLoss or a list of them. "
            f"Received: {[type(loss).__name__ for loss in wrong] or losses}"
        )
    check_weight("task_weight", task_weight)


def check_weight(argument, value):
    """Refuse what is neither a number >= 0 nor a schedule of the step."""
    number = isinstance(value, int | float) and 0 <= value < float("inf")
    if not isinstance(value, Schedule) and not number:
        raise ValueError(
            f"`{argument}` must be a number >= 0 or a schedule. Received: {argument}={value!r}"
        )


def weight_at(weight, step):
    """The weight at a step of the optimiser: a number as it is, of a schedule its value."""
    return ops.cast(weight(step), "float32") if isinstance(weight, Schedule) else weight


def check_variables(student, teachers):
    """Refuse teachers that would change with the student."""
    own = {id(v): v for v in student.trainable_variables}
    frozen = [v for teacher in teachers for model in teacher.models for v in model.variables]
    shared = [v.path for v in frozen if id(v) in own]
    if shared:
        raise ValueError(
            f"The teacher would change with the student: they share {len(shared)} trainable "
            f"variables, the first is {shared[0]}. Make the teacher a copy "
            "(keras.models.clone_model and set_weights), or freeze the shared layers."
        )
