"""A student and its teacher, read through the taps of the losses between them."""

import inspect
import re

from kzoo import taps
from kzoo.losses._projector import build_losses

OUTPUTS = "outputs"
_TAKEN = ("loss", "task_loss", "regularization", "teacher_accuracy", "agreement")


class Pair:
    """Student and teacher seen through the taps of the losses; a plain object that Keras ignores.

    Attributes:
        named: the losses by the names of their terms.
        read_student: the student's extractor, `None` before `prepare`.
        read_teacher: the teacher's.
        classes: how many classes the teacher tells apart, once known.
    """

    def __init__(self, student, teacher, losses):
        self.student, self.teacher = student, teacher
        self.named = dict(zip(term_names(losses), losses, strict=True))
        self.read_student = self.read_teacher = self.classes = None

    def prepare(self):
        """Make the extractors, and build the losses from the shapes of their taps."""
        losses = self.named.values()
        student = [tap for loss in losses for tap in loss.student_taps]
        teacher = [tap for loss in losses for tap in loss.teacher_taps]
        read_student = taps.extractor(self.student, list(dict.fromkeys([*student, OUTPUTS])))
        read_teacher = taps.extractor(self.teacher, list(dict.fromkeys([*teacher, OUTPUTS])))
        build_losses(list(losses), read_teacher.tap_shapes, read_student.tap_shapes)
        self.read_student, self.read_teacher = read_student, read_teacher

    def compare(self, loss, teacher, student, training):
        """Value of a loss on what the extractors returned."""
        teacher = [teacher[tap] for tap in loss.teacher_taps]
        student = [student[tap] for tap in loss.student_taps]
        if isinstance(loss.teacher_tap, str):
            teacher, student = teacher[0], student[0]
        if "training" in inspect.signature(loss.call).parameters:
            return loss(teacher, student, training=training)
        return loss(teacher, student)


def term_names(losses):
    """One name for each loss: its own where one was given, else its class in snake case."""
    names = []
    for loss in losses:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(loss).__name__).lower()
        automatic = re.fullmatch(rf"{words}(_\d+)?", loss.name) is not None
        base = name = words if automatic else loss.name
        number = 2
        while name in names or name in _TAKEN:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names
