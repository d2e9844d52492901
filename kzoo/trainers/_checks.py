"""The arguments of a distiller, checked at the door."""

import keras

from kzoo.losses import DistillationLoss

Schedule = keras.optimizers.schedules.LearningRateSchedule


def check_arguments(student, teacher, losses, task_weight):
    """Refuse what a `Distiller` cannot be made of."""
    wrong = [loss for loss in losses if not isinstance(loss, DistillationLoss)]
    if wrong or not losses:
        raise ValueError(
            "`losses` must be a kzoo.losses.DistillationLoss or a list of them. "
            f"Received: {[type(loss).__name__ for loss in wrong] or losses}"
        )
    if not isinstance(task_weight, Schedule) and not 0 <= task_weight < float("inf"):
        raise ValueError(
            "`task_weight` must be a number >= 0 or a schedule. "
            f"Received: task_weight={task_weight!r}"
        )
    own = {id(v): v for v in student.trainable_variables}
    shared = [v.path for v in teacher.variables if id(v) in own]
    if shared:
        raise ValueError(
            f"The teacher would change with the student: they share {len(shared)} trainable "
            f"variables, the first is {shared[0]}. Make the teacher a copy "
            "(keras.models.clone_model and set_weights), or freeze the shared layers."
        )


def check_inputs(student, teacher):
    """Refuse models of which one cannot take the other's batch."""
    shapes = [getattr(model, "input_shape", None) for model in (student, teacher)]
    if not all(isinstance(shape, tuple) for shape in shapes):
        return
    equal = len(shapes[0]) == len(shapes[1]) and all(
        None in pair or pair[0] == pair[1] for pair in zip(*shapes, strict=True)
    )
    if not equal:
        raise ValueError(
            f"Student and teacher must take the same inputs. Received: student {shapes[0]}, "
            f"teacher {shapes[1]}. Subclass Distiller and override `teacher_inputs(x)` to adapt "
            "the batch for the teacher."
        )
