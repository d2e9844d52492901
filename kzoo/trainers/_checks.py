"""The arguments of a distiller, checked at the door."""

import keras

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
    number = isinstance(task_weight, int | float) and 0 <= task_weight < float("inf")
    if not isinstance(task_weight, Schedule) and not number:
        raise ValueError(
            "`task_weight` must be a number >= 0 or a schedule. "
            f"Received: task_weight={task_weight!r}"
        )


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
