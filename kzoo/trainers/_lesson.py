"""One teacher and the losses towards it."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from keras import ops

from kzoo.losses._projector import build_losses
from kzoo.trainers._labels import class_of, labels_of
from kzoo.trainers._teaching import OUTPUTS


class Lesson:
    """One teacher and the losses towards it; a plain object that Keras ignores.

    Attributes:
        teacher: what teaches.
        named: the losses by the names of their terms.
        weight: multiplies them.
        suffix: of the names of what is logged, empty where there is one teacher.
        classes: how many classes the teacher tells apart, once known.
    """

    def __init__(self, teacher, named, weight, suffix):
        self.teacher, self.named, self.weight, self.suffix = teacher, named, weight, suffix
        self.classes = None

    def acting(self, stage):
        """The losses that act in a stage, `"fit"` or `"pretrain"`, by the names of their terms."""
        return {name: loss for name, loss in self.named.items() if acts(loss, stage)}

    def prepare(self, student, shapes):
        """Let the losses look at the models, and build them from the shapes of their taps."""
        losses = list(self.named.values())
        shown = self.teacher.prepare([tap for loss in losses for tap in loss.teacher_taps])
        for loss in losses:
            loss.prepare(self.teacher.model, student)
        build_losses(losses, shown, shapes)

    def compare(self, loss, teacher, student, told, stage="fit"):
        """Value of a loss on what the teacher and the student showed."""
        call = loss
        if stage == "pretrain" and loss.pretrain_call is not None:
            call = loss.pretrain_call
        asked = inspect.signature(loss.call if call is loss else call).parameters
        return call(*sides(loss, teacher, student), **told.to(loss, self.teacher, asked))

    def compare_classes(self, teacher, student, y):
        """Accuracy of the teacher and agreement with the student by name, where outputs tell."""
        teacher, student, found = teacher[OUTPUTS], student[OUTPUTS], {}
        teacher_class, student_class = class_of(teacher), class_of(student)
        if teacher_class is None:
            return found
        self.classes = teacher.shape[-1]
        if student_class is not None and student.shape[-1] != self.classes:
            # Classes of its own, of which it teaches features: its numbers are other classes'.
            return found
        labels = labels_of(y, self.classes)
        if labels is not None:
            found["teacher_accuracy" + self.suffix] = ops.equal(labels, teacher_class)
        if student_class is not None:
            found["agreement" + self.suffix] = ops.equal(student_class, teacher_class)
        return found


@dataclasses.dataclass(frozen=True)
class Told:
    """What a loss may be told beside the features.

    Attributes:
        training: whether the student trains.
        labels: the class of each sample, `None` where there are none.
        batch: the `Batch`.
        read: the student's extractor.
    """

    training: bool
    labels: Any
    batch: Any
    read: Callable[..., Any]

    def to(self, loss, teacher, asked):
        """The arguments by name that a loss asks for.

        Raises:
            ValueError: where the batch does not hold one of them.
        """

        def read_teacher(inputs):
            return pick(loss, teacher.differentiable(inputs, loss.teacher_taps), loss.teacher_taps)

        def read_student(inputs):
            return pick(loss, self.read(inputs, training=self.training), loss.student_taps)

        index = self.batch.sample_index
        known = {
            "training": self.training,
            "labels": self.labels,
            # Keras shows the mean over replicas, floats, where it builds on symbols.
            "sample_index": None if index is None else ops.cast(index, "int32"),
            "inputs": self.batch.inputs,
            "read_teacher": read_teacher,
            "read_student": read_student,
        }
        missing = [name for name in _MISSING if name in asked and known[name] is None]
        if missing:
            raise ValueError(f"The loss {loss.name!r} {_MISSING[missing[0]]}")
        return {name: value for name, value in known.items() if name in asked}


_MISSING = {
    "labels": ("needs the class of each sample. Give `fit` integer labels or one-hot rows as y."),
    "sample_index": (
        "needs the number of each sample. Feed it with dataset.pipeline(..., sample_index=True) "
        "or dataset.sequence(..., sample_index=True) of kzoo.data, or with x = "
        "{'inputs': images, 'sample_index': numbers}."
    ),
}


def acts(loss, stage):
    """Whether a loss has something to minimise in a stage."""
    if stage == "pretrain":
        return loss.stage != "fit" or loss.pretrain_call is not None
    return loss.stage != "pretrain"


def sides(loss, teacher, student):
    """What a loss takes of what both showed."""
    return pick(loss, teacher, loss.teacher_taps), pick(loss, student, loss.student_taps)


def pick(loss, shown, names):
    """What a loss takes of what was shown: a tensor, or a list of them."""
    found = [shown[name] for name in names]
    return found[0] if isinstance(loss.teacher_tap, str) else found
