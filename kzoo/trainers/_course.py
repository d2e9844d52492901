"""Who teaches a student what: teachers, the losses towards each, the names of the terms."""

import re

import keras

from kzoo import taps
from kzoo.trainers._lesson import Lesson
from kzoo.trainers._teaching import OUTPUTS, Teaching
from kzoo.trainers.teacher import Teacher

_TAKEN = ("loss", "task_loss", "regularization", "teacher_accuracy", "agreement")


class Course:
    """A student and its lessons, read in one pass; a plain object that Keras ignores.

    Attributes:
        given: teachers and losses as the user gave them.
        student: the model to train.
        teachers: what teaches.
        lessons: one for each teacher.
        read: the student's extractor, `None` before `prepare`.
    """

    def __init__(self, student, teachers, losses):
        self.given = teachers, losses
        self.student = student
        self.teachers = as_teachers(teachers)
        self.lessons = _lessons(self.teachers, losses)
        self.read = None

    @property
    def losses(self):
        """All losses: those given, and a copy of them for each further teacher."""
        return [loss for lesson in self.lessons for loss in lesson.named.values()]

    @property
    def ready(self):
        """Whether all models are built."""
        models = [m for teacher in self.teachers for m in teacher.models_to_build()]
        return all(model.built for model in (self.student, *models))

    def build(self, input_shape):
        """Build the models that are not."""
        if not self.student.built:
            self.student.build(input_shape)
        for teacher in self.teachers:
            teacher.build(input_shape)

    def prepare(self):
        """Make the extractors and build the losses, once."""
        if self.read is not None:
            return
        for teacher in self.teachers:
            teacher.check_against(self.student)
            teacher.build_preprocess(getattr(self.student, "input_shape", None))
        names = [tap for loss in self.losses for tap in loss.student_taps]
        read = taps.extractor(self.student, list(dict.fromkeys([*names, OUTPUTS])))
        for lesson in self.lessons:
            lesson.prepare(self.student, read.tap_shapes)
        self.read = read


def as_teachers(given):
    """The list of what teaches.

    Raises:
        ValueError: for an empty list and for what cannot teach.
    """
    listed = list(given) if isinstance(given, list | tuple) else [given]
    if not listed:
        raise ValueError("`teacher` is an empty list. Give a model, or a list of models.")
    teachers = []
    for one in listed:
        if not isinstance(one, Teaching | keras.Model):
            raise ValueError(
                "`teacher` must be a keras.Model, a kzoo.trainers.Teacher, TeacherEnsemble or "
                f"TeacherCache, or a list of them. Received: {one!r}"
            )
        teachers.append(one if isinstance(one, Teaching) else Teacher(one))
    return teachers


def _lessons(teachers, losses):
    names = term_names(losses)
    if len(teachers) == 1:
        weight = 1.0 if teachers[0].weight is None else teachers[0].weight
        return [Lesson(teachers[0], dict(zip(names, losses, strict=True)), weight, "")]
    lessons, suffixes = [], _suffixes(teachers)
    for teacher, suffix in zip(teachers, suffixes, strict=True):
        # Each teacher has its own projectors; the losses as given serve the first.
        own = losses if not lessons else [_copy(loss, suffix) for loss in losses]
        named = {name + suffix: loss for name, loss in zip(names, own, strict=True)}
        weight = 1.0 / len(teachers) if teacher.weight is None else teacher.weight
        lessons.append(Lesson(teacher, named, weight, suffix))
    return lessons


def _suffixes(teachers):
    names, found = [re.sub(r"\W+", "_", teacher.name) for teacher in teachers], []
    for number, name in enumerate(names, start=1):
        suffix = name if names.count(name) == 1 else f"{name}_{number}"
        while suffix != name and suffix in (*names, *found):
            number += 1
            suffix = f"{name}_{number}"
        found.append(suffix)
    return [f"_{suffix}" for suffix in found]


def _copy(loss, suffix):
    config = loss.get_config()
    return type(loss).from_config({**config, "name": config["name"] + suffix})


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
