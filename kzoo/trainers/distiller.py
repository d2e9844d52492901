"""A student learns from the labels and from a frozen teacher."""

import keras

from kzoo.losses import SoftTargets
from kzoo.losses._projector import shared_projections
from kzoo.registry import register
from kzoo.trainers._batch import Batch
from kzoo.trainers._checks import (
    Schedule,
    check_arguments,
    check_variables,
    weight_at,
)
from kzoo.trainers._course import Course
from kzoo.trainers._labels import labels_for, warn_of_chance
from kzoo.trainers._lesson import Told, acts, sides
from kzoo.trainers._pretraining import Staged
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._terms import reduce_term
from kzoo.trainers.update import Update


@register(
    "trainer",
    paper="arXiv:1503.02531",
    aliases=("KnowledgeDistillation",),
    tiny={"build": lambda small: _tiny(small)},
    players=("model",),
)
class Distiller(Staged):
    """Trains a student on the labels and on what a frozen teacher shows it.

    Use it to make a small model nearly as good as a large one that is trained
    already. Start with `SoftTargets` alone; add a feature loss to it, not instead of it.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
        NIPS Deep Learning Workshop 2014, arXiv:1503.02531.

    With the compiled loss `task` and losses `L_i` between taps of both models:

        loss = task_weight · task(y, student(x)) + Σ_i weight_i · mean(L_i) + regularization

    Every published loss of `kzoo.losses` works here, alone or with others. The student runs once
    a batch and each teacher once, however many losses there are (`BoundarySupport` alone
    asks both about new images). Teachers run in inference mode and are never changed, nor is
    their `trainable`. `predict` and `evaluate` run the student alone: the loss of
    `evaluate` is the compiled one.

    Each term is logged by name (`task_loss`, `soft_targets`, `hint`, `hint_2`, ...), beside
    `teacher_accuracy` (where `y` holds class labels), `agreement`, the share of samples to which
    both give the same class, and what a loss has to say of itself. With several teachers
    the names end with that of the teacher. A teacher that is no better than chance and a term
    that stays 0 give a warning after the first epoch.

    Losses that ask for the class or the number of each sample get them from `y` and from
    `x = {"inputs": images, "sample_index": numbers}`, which `kzoo.data` makes
    (`sample_index=True`). Losses with `stage="pretrain"`, and the paraphraser of
    `FactorTransfer`, act in `pretrain`, before `fit`.

    Args:
        student: the model to train.
        teacher: what to learn from, already trained: a `keras.Model`; a `Teacher`, for
            other preprocessing, resolution or classes than the student's; a `TeacherEnsemble`; a
            `TeacherCache` of recorded outputs; or a list of these, each compared with
            the student by losses of its own. Models in a list share the weight equally.
        losses: a `kzoo.losses.DistillationLoss`, or a list of them.
        task_weight: weight of the compiled loss, a number or a schedule of the step.
            0, or `compile(loss=None)`, trains on the teacher alone.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the student takes.
        training: whether the student runs in training mode.

    Raises:
        ValueError: for a teacher that is the student or shares trainable variables
            with it, for taps that a model does not have, for taps whose shapes a loss cannot
            compare, and for models whose inputs differ.

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    def classifier(units):
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
        )

    distiller = kzoo.trainers.Distiller(
        student=classifier(2),
        teacher=classifier(16),
        losses=kzoo.losses.SoftTargets(temperature=4.0, weight=0.9),
        task_weight=0.1,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("adam", loss, metrics=["accuracy"])
    distiller.fit(np.random.rand(8, 4), np.arange(8) % 3, verbose=0)
    student = distiller.student  # a plain Keras model
    ```

    Differences from the paper: it mixes the terms as it likes; here each has its own
    weight. RepDistiller's setting is `task_weight=0.1` and `SoftTargets(weight=0.9)`.
    """

    def __init__(self, student, teacher, losses, task_weight=1.0, **kwargs):
        kwargs.setdefault("dtype", student.dtype_policy)
        super().__init__(**kwargs)
        losses = list(losses) if isinstance(losses, list | tuple) else [losses]
        check_arguments(losses, task_weight)
        course = Course(student, teacher, losses)
        check_variables(student, course.teachers)
        self.student = student
        self.distillation_losses = course.losses
        self.task_weight = task_weight
        self._course = course
        for model in self.teacher_models:
            self.freeze(model)
        if course.ready:
            self._prepare()

    @property
    def teachers(self):
        """What is learnt from, a list: `Teacher`, `TeacherEnsemble` or `TeacherCache`."""
        return list(self._course.teachers)

    @property
    def teacher(self):
        """The model that is learnt from; of several teachers the first one's."""
        return self._course.teachers[0].model

    @property
    def teacher_models(self):
        """All models that only run, so that a saved trainer holds their weights."""
        return [model for teacher in self._course.teachers for model in teacher.models]

    def build(self, input_shape=None):
        """Build the models, then the losses from the shapes of their taps."""
        self._course.build(Batch.of(input_shape).inputs)
        self._prepare()

    def _prepare(self):
        self._course.prepare()
        self.built = True

    def call(self, inputs, training=None):
        """The student's output."""
        return self.student(Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The student's."""
        return self.student.compute_output_shape(Batch.of(input_shape).inputs)

    def updates(self):
        """One: it moves the student and what the losses train with it."""
        own = [
            v for loss in self.distillation_losses if acts(loss, "fit") for v in loss.fit_variables
        ]
        moved = {id(v) for v in (*self.student.trainable_variables, *own)}
        variables = [v for v in self.trainable_variables if id(v) in moved]
        return [Update("model", self.compute_terms, variables)]

    def compute_terms(self, x, y, sample_weight, training):
        """The task's loss and one term for each distillation loss."""
        step, batch = self.optimizer.iterations, Batch.of(x)
        terms = {}
        with shared_projections():
            student = self._course.read(batch.inputs, training=training)
            if self.task_weight != 0 and self._compile_loss is not None:
                task = self.task_loss(y, student[OUTPUTS], sample_weight)
                terms["task_loss"] = reduce_term(task, None) * weight_at(self.task_weight, step)
            told = Told(training, labels_for(student[OUTPUTS], y), batch, self._course.read)
            for lesson in filter(lambda one: one.acting("fit"), self._course.lessons):
                teacher = lesson.teacher.read(self.call_frozen, batch)
                for name, loss in lesson.acting("fit").items():
                    value = reduce_term(lesson.compare(loss, teacher, student, told), sample_weight)
                    terms[name] = value * loss.weight_at(step) * lesson.weight
                    for key, found in loss.diagnostics(*sides(loss, teacher, student)).items():
                        self.log(f"{name}_{key}", found, x)
                for name, found in lesson.compare_classes(teacher, student, y).items():
                    self.log(name, found, x)
        return student[OUTPUTS], terms

    def diagnose(self, logs, ignore=()):
        """Warn about a teacher at chance, terms that stayed 0 and a stage that was skipped."""
        self.warn_of_skipped_stage()
        named = [pair for lesson in self._course.lessons for pair in lesson.named.items()]
        quiet = [n for n, loss in named if isinstance(loss.weight, Schedule) or loss.weight == 0]
        quiet += ["task_loss"] if isinstance(self.task_weight, Schedule) else []
        super().diagnose(logs, (*ignore, *quiet))
        for lesson in self._course.lessons:
            name = "teacher_accuracy" + lesson.suffix
            if name in logs:
                samples = self.samples_of(name)
                warn_of_chance(lesson.teacher.name, logs[name], lesson.classes, samples)

    def export(self, path, **kwargs):
        """Export the student alone, without teacher and projectors.

        Args:
            path: where to.
            **kwargs: those of `kzoo.export.export_model`, for example `format`.
        """
        from kzoo.export import export_model

        return export_model(self.student, path, **kwargs)

    def get_config(self):
        """The constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        (teacher, losses), weight = self._course.given, self.task_weight
        several = isinstance(teacher, list | tuple)
        return {
            **super().get_config(),
            "student": serialize(self.student),
            "teacher": [serialize(t) for t in teacher] if several else serialize(teacher),
            "losses": [serialize(loss) for loss in losses],
            "task_weight": serialize(weight) if isinstance(weight, Schedule) else weight,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        config = dict(config)
        for key in ("student", "teacher", "losses", "task_weight"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        return cls(**config)


def _tiny(small):
    losses = SoftTargets(name="soft_targets")
    return Distiller(small("student"), small("teacher"), losses, name="distiller")
