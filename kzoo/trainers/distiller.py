"""A student learns from the labels and from a frozen teacher."""

import warnings

import keras
from keras import ops

from kzoo.losses import SoftTargets
from kzoo.losses._projector import shared_projections
from kzoo.registry import register
from kzoo.trainers._checks import Schedule, check_arguments, check_inputs
from kzoo.trainers._labels import class_of, labels_of, no_better_than_chance
from kzoo.trainers._pair import OUTPUTS, Pair
from kzoo.trainers._terms import reduce_term
from kzoo.trainers.trainer import Trainer


@register(
    "trainer",
    paper="arXiv:1503.02531",
    aliases=("KnowledgeDistillation",),
    tiny={"build": lambda small: _tiny(small)},
    players=("model",),
)
class Distiller(Trainer):
    """Trains a student on the labels and on what a frozen teacher shows it.

    Use it to make a small model nearly as good as a large one that is trained
    already. Start with `SoftTargets` alone; add a feature loss to it, not instead of it.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
        NIPS Deep Learning Workshop 2014, arXiv:1503.02531.

    With the compiled loss `task` and losses `L_i` between taps of both models:

        loss = task_weight · task(y, student(x)) + Σ_i weight_i · mean(L_i) + regularization

    The student runs once a batch and the teacher once, however many losses there are.
    The teacher runs in inference mode and is never changed, nor is its `trainable`.
    `predict` and `evaluate` run the student alone: the loss of `evaluate` is the compiled
    one. Each term is logged by name (`task_loss`, `soft_targets`, `hint`, `hint_2`, ...),
    beside `teacher_accuracy` (where `y` holds class labels) and `agreement`, the share of
    samples to which both give the same class. A teacher that is no better than chance and
    a term that stays 0 give a warning after the first epoch.

    Args:
        student: the model to train.
        teacher: the model to learn from, already trained. Other classes than the
            student's are fine for losses that do not read logits.
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
        check_arguments(student, teacher, losses, task_weight)
        self.student = student
        self.distillation_losses = losses
        self.task_weight = task_weight
        self.freeze(teacher)
        self._pair = Pair(student, teacher, losses)
        if student.built and teacher.built:
            self._prepare()

    @property
    def teacher(self):
        """The model that is learnt from."""
        return self._pair.teacher

    def teacher_inputs(self, x):
        """What the teacher is given for a batch: `x`, unless overridden."""
        return x

    def build(self, input_shape=None):
        """Build the models, then the losses from the shapes of their taps."""
        for model in (self.student, self.teacher):
            if not model.built:
                model.build(input_shape)
        self._prepare()

    def _prepare(self):
        if self._pair.read_student is None:
            if type(self).teacher_inputs is Distiller.teacher_inputs:
                check_inputs(self.student, self.teacher)
            self._pair.prepare()
        self.built = True

    def call(self, inputs, training=None):
        """The student's output."""
        return self.student(inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The student's."""
        return self.student.compute_output_shape(input_shape)

    def compute_terms(self, x, y, sample_weight, training):
        """The task's loss and one term for each distillation loss."""
        step = self.optimizer.iterations
        with shared_projections():
            student = self._pair.read_student(x, training=training)
            teacher = self.call_frozen(self._pair.read_teacher, self.teacher_inputs(x))
            terms = {}
            if self.task_weight != 0 and self._compile_loss is not None:
                task = self.task_loss(y, student[OUTPUTS], sample_weight)
                terms["task_loss"] = reduce_term(task, None) * _weight(self.task_weight, step)
            for name, loss in self._pair.named.items():
                value = self._pair.compare(loss, teacher, student, training)
                value = reduce_term(value, sample_weight)
                terms[name] = value * loss.weight_at(step)
        self._log_classes(x, y, teacher[OUTPUTS], student[OUTPUTS])
        return student[OUTPUTS], terms

    def diagnose(self, logs, ignore=()):
        """Warn about a teacher at chance and about terms that stayed 0."""
        named = self._pair.named.items()
        quiet = [n for n, loss in named if isinstance(loss.weight, Schedule) or loss.weight == 0]
        quiet += ["task_loss"] if isinstance(self.task_weight, Schedule) else []
        super().diagnose(logs, (*ignore, *quiet))
        if "teacher_accuracy" not in logs:
            return
        accuracy, classes = logs["teacher_accuracy"], self._pair.classes
        samples = float(ops.convert_to_numpy(self._trackers["teacher_accuracy"].count))
        if no_better_than_chance(accuracy, classes, samples):
            warnings.warn(
                f"The teacher is right for {accuracy:.1%} of the samples, no better than chance "
                f"({1 / classes:.1%} of {classes} classes). Is it trained, are its inputs "
                "preprocessed as it expects, are its classes in the same order?",
                stacklevel=2,
            )

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
        weight = self.task_weight
        return {
            **super().get_config(),
            "student": serialize(self.student),
            "teacher": serialize(self.teacher),
            "losses": [serialize(loss) for loss in self.distillation_losses],
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

    def _log_classes(self, x, y, teacher, student):
        teacher_class, student_class = class_of(teacher), class_of(student)
        if teacher_class is None:
            return
        self._pair.classes = teacher.shape[-1]
        labels = labels_of(y, teacher.shape[-1])
        if labels is not None:
            self.log("teacher_accuracy", ops.equal(labels, teacher_class), x)
        if student_class is not None and student.shape[-1] == teacher.shape[-1]:
            self.log("agreement", ops.equal(student_class, teacher_class), x)


def _tiny(small):
    losses = SoftTargets(name="soft_targets")
    return Distiller(small("student"), small("teacher"), losses, name="distiller")


def _weight(weight, step):
    return ops.cast(weight(step), "float32") if isinstance(weight, Schedule) else weight
