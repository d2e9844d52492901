"""What every distillation loss has: two taps, a weight, and a place for projectors."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from kzoo.losses._arguments import check_choice

STAGES = ("fit", "pretrain", "both")
Schedule = keras.optimizers.schedules.LearningRateSchedule


class DistillationLoss(keras.layers.Layer):
    """Base class of the distillation losses: compares what a teacher and a student show at a tap.

    Subclass it to write a loss of your own: implement `call(teacher, student)`, keep every
    constructor argument as an attribute, return them from `get_config`, and make what must be
    trained in `build(teacher_shape, student_shape)`.

    The trainer reads both models at `teacher_taps` and `student_taps`, calls the loss, multiplies
    the result by `sample_weight` where it is one value per sample, takes the mean, and
    multiplies that by `weight_at(step)`. So `call` returns the plain value: no weight, no sample
    weight. A loss that couples the samples of a batch returns a scalar; sample weights do not
    apply to it, and under a distribution strategy it couples the samples of each replica.

    `call` may ask for more than the two features by naming further parameters:

        training        whether the student trains
        labels          the class of each sample, `(batch,)`, int32
        sample_index    the number of each sample in the data set, `(batch,)`, int32
        inputs          what the models were given
        read_teacher    a function from inputs to the teacher's feature; gradients reach the inputs
        read_student    the same of the student, in its present mode

    A method that trains a part of itself before the student learns from it defines
    `pretrain_call(teacher, student, training)`; `Distiller.pretrain` minimises that.

    A loss computes in float32 under any global policy and never casts what it is given to a
    narrower type.

    Args:
        teacher_tap: name of the teacher's feature (see `kzoo.taps`), or a list of names.
        student_tap: the same for the student, as many as for the teacher.
        weight: a number, a schedule of the step (see `kzoo.schedules`), or `None` for 1. A
            subclass gives its published weight in that case.
        pre_activation: whether to read the taps before their last activation.
        stage: when the loss acts: `"fit"`, `"pretrain"` (only in `Distiller.pretrain`, as staged
            methods were published) or `"both"`.
        **kwargs: those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's feature, or a list of them where the taps are lists.
        student: the student's, in the same structure.

    Raises:
        ValueError: for taps that do not pair up and for a weight that is no number >= 0.
    """

    pretrain_call = None

    def __init__(
        self,
        *,
        teacher_tap="logits",
        student_tap="logits",
        weight=None,
        pre_activation=False,
        stage="fit",
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        self.teacher_tap = _check_tap("teacher_tap", teacher_tap)
        self.student_tap = _check_tap("student_tap", student_tap)
        if len(_as_list(teacher_tap)) != len(_as_list(student_tap)):
            raise ValueError(
                "`teacher_tap` and `student_tap` must name as many taps as each other. "
                f"Received: teacher_tap={teacher_tap}, student_tap={student_tap}"
            )
        self.weight = _check_weight(1.0 if weight is None else weight)
        self.pre_activation = bool(pre_activation)
        self.stage = check_choice("stage", stage, STAGES)

    @property
    def teacher_taps(self) -> list[str]:
        """The teacher's taps as `kzoo.taps.extractor` takes them, always a list."""
        return self._spelled(self.teacher_tap)

    @property
    def student_taps(self) -> list[str]:
        """The student's taps as `kzoo.taps.extractor` takes them, always a list."""
        return self._spelled(self.student_tap)

    def _spelled(self, tap):
        suffix = ":pre" if self.pre_activation else ""
        return [name + suffix for name in _as_list(tap)]

    def weight_at(self, step):
        """The weight at an optimiser step: the number itself, or a scalar tensor of a schedule."""
        if isinstance(self.weight, Schedule):
            return ops.cast(self.weight(step), "float32")
        return self.weight

    def prepare(self, teacher, student):
        """Take from the models what shapes do not tell; called once, before `build`.

        Args:
            teacher: the teacher, a `keras.Model`, or `None` where only its outputs are at hand.
            student: the student.
        """

    def build(self, teacher_shape, student_shape):
        """Make what must be trained: nothing, unless a loss does.

        Args:
            teacher_shape: shape of the teacher's feature, with batch, or a list of shapes.
            student_shape: the same of the student.
        """

    @property
    def pretrain_variables(self):
        """The loss's own variables that `Distiller.pretrain` moves."""
        return self.trainable_variables

    @property
    def fit_variables(self):
        """The loss's own variables that `fit` moves."""
        return self.trainable_variables

    def diagnostics(self, teacher, student):
        """Further values to log, by name: no part of the loss."""
        return {}

    @property
    def projector_key(self) -> str | None:
        """Losses with equal keys may share one projector; `None` where there is no projector."""
        return None

    def get_config(self):
        """The constructor's arguments."""
        weight = self.weight
        if isinstance(weight, Schedule):
            weight = keras.saving.serialize_keras_object(weight)
        return {
            **super().get_config(),
            "teacher_tap": self.teacher_tap,
            "student_tap": self.student_tap,
            "weight": weight,
            "pre_activation": self.pre_activation,
            "stage": self.stage,
        }


def _as_list(tap):
    return [tap] if isinstance(tap, str) else list(tap)


def _check_tap(argument, tap):
    names = _as_list(tap) if isinstance(tap, str | Sequence) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"`{argument}` must be a name or a list of names. Received: {tap!r}")
    return tap if isinstance(tap, str) else names


def _check_weight(weight):
    if isinstance(weight, dict):
        weight = keras.saving.deserialize_keras_object(weight)
    if isinstance(weight, Schedule):
        return weight
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight) or weight < 0:
        raise ValueError(
            "`weight` must be a finite number >= 0 or a "
            f"keras.optimizers.schedules.LearningRateSchedule. Received: weight={weight!r}"
        )
    return weight
