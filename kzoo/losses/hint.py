"""Hints: the student's feature, after a trained projector, imitates the teacher's."""

import json

import keras
from keras import ops

from kzoo.losses._arguments import check_choice, check_one_pair, check_same_batch
from kzoo.losses._base import DistillationLoss
from kzoo.losses._projector import Regressor, project
from kzoo.losses._projector_argument import read, written
from kzoo.registry import register

PUBLISHED_WEIGHTS = {"paper": 1.0, "reference": 100.0}


def hint(teacher, student, variant="paper"):
    """Squared difference of two features of the same shape.

    Args:
        teacher: the teacher's feature, `(batch, ...)`. No gradient flows to it.
        student: the student's feature, after its projector, of the same shape.
        variant: `"paper"`: half the sum of the squares, ½‖·‖²; `"reference"`: their mean.

    Returns:
        One value per sample, float32, `(batch,)`.

    Raises:
        ValueError: where the shapes differ, and for an unknown variant.
    """
    check_choice("variant", variant, PUBLISHED_WEIGHTS)
    _check_equal(teacher.shape, student.shape)
    teacher = ops.stop_gradient(ops.cast(teacher, "float32"))
    squares = ops.square(ops.cast(student, "float32") - teacher)
    axes = tuple(range(1, len(squares.shape)))
    return 0.5 * ops.sum(squares, axes) if variant == "paper" else ops.mean(squares, axes)


@register(
    "loss",
    paper="arXiv:1412.6550",
    aliases=("FitNets", "FitNet"),
    tiny={"args": {}, "teacher_shape": (2, 4, 4, 3), "student_shape": (2, 8, 8, 2)},
    per_sample=True,
    zero_at_equal=False,
    logits=False,
)
class Hint(DistillationLoss):
    """Pulls a feature of the student, seen through a trained regressor, to one of the teacher.

    For a student that is thinner (often also deeper) than its teacher. Use it together with
    `SoftTargets`; alone it rarely beats them. The regressor is trained with the student and
    is no part of it afterwards.

    Reference:
        A. Romero, N. Ballas, S. E. Kahou, A. Chassang, C. Gatta, Y. Bengio, "FitNets: Hints for
        Thin Deep Nets", ICLR 2015, arXiv:1412.6550.

    With the regressor r, per sample:

        paper        L = ½ ‖r(student) − teacher‖²
        reference    L = mean (r(student) − teacher)²

    The paper's is the reference's times half the number of elements of the teacher's feature.
    It was published for a stage of its own; beside a task loss it is large, and the reference's
    form with its weight is the one to begin with.

    `r` is one convolution (a dense layer between vectors). Its kernel follows from the sizes of
    each axis, s of the student, t of the teacher:

        s = 2t        3, stride 2, one pixel of zeros around
        s >= t        1 + s − t, stride 1, no padding
        2s = t        4, stride 2, transposed

    In the paper's variant nothing but `activation` follows, in the reference's batch normalisation
    and ReLU, as in RepDistiller.

    Args:
        teacher_tap: the teacher's tap, for example `"stage2"`.
        student_tap: the student's tap.
        projector: `"regressor"` infers r; `None` compares the features as they are, which needs
            equal shapes; or a layer of your own that maps the student's shape to the teacher's.
        variant: `"paper"`, the default, or `"reference"`, see above.
        activation: what follows the convolution. The paper gives r the non-linearity of the
            teacher's layer. `None`: linear in the paper's variant, which fits any feature, and
            ReLU in the reference's, which cannot fit negative ones.
        weight: weight of the loss, a number or a schedule of the step. `None`: 100 in the
            reference's variant, as RepDistiller has it, and 1 in the paper's.
        **kwargs: `pre_activation`, `stage` (the paper's first stage is `"pretrain"`) and those
            of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's feature.
        student: the student's feature.
        training: whether the projector's batch normalisation uses the statistics of the batch.

    Input shape:
        Two maps `(batch, height, width, channels)` or two vectors `(batch, features)`; with
        `projector=None` or your own, any shape.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for shapes between which no regressor exists, for an unknown variant, or for
            shapes that differ after the projector.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import Hint

    teacher = np.zeros((2, 8, 8, 16), "float32")
    student = np.ones((2, 16, 16, 4), "float32")
    loss = Hint(teacher_tap="stage2", student_tap="stage1")
    per_sample = loss(teacher, student)  # shape (2,); 16 filters of 3 x 3, stride 2
    ```

    Differences from the paper: it gives r the non-linearity of the teacher's layer, here r is
    linear unless `activation` says otherwise. It always uses a valid
    convolution, which at s = 2t would have a kernel of t + 1, and has no case for s < t.
    """

    def __init__(
        self,
        teacher_tap="stage1",
        student_tap="stage1",
        projector="regressor",
        variant="paper",
        activation=None,
        weight=None,
        **kwargs,
    ):
        check_choice("variant", variant, PUBLISHED_WEIGHTS)
        weight = PUBLISHED_WEIGHTS[variant] if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        self.projector = read(projector, "regressor")
        self.variant = variant
        self.activation = None if activation is None else keras.activations.get(activation)
        self._projection = None

    @property
    def projector_key(self):
        """Equal for losses that may share one projector: same taps, same kind."""
        if self.projector is None:
            return None
        config = self.get_config()
        kind = [config[name] for name in ("projector", "variant", "activation", "dtype")]
        return json.dumps([self.teacher_taps, self.student_taps, kind])

    def adopt_projector(self, owner):
        """Use the projector of another loss, which is built; this one is not built yet."""
        self._projection = owner._projection

    def build(self, teacher_shape, student_shape):
        """Infer the projector from the shapes."""
        if self.projector is None:
            _check_equal(teacher_shape, student_shape)
            return
        if self._projection is None:
            self._projection = self._make_projection(teacher_shape)
        if not self._projection.built:
            self._projection.build(tuple(student_shape))
        _check_equal(teacher_shape, self._projection.compute_output_shape(tuple(student_shape)))

    def _make_projection(self, teacher_shape):
        if isinstance(self.projector, keras.layers.Layer):
            return self.projector
        reference = self.variant == "reference"
        return Regressor(
            teacher_shape,
            normalize=reference,
            activation="relu" if reference and self.activation is None else self.activation,
            dtype=self.dtype_policy,
            name="regressor",
        )

    def call(self, teacher, student, training=None):
        """The loss of each sample."""
        if self._projection is not None:
            student = project(self._projection, student, training=training)
        return hint(teacher, student, self.variant)

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (student_shape[0],)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "projector": written(self.projector),
            "variant": self.variant,
            "activation": self.activation and keras.activations.serialize(self.activation),
        }


def _check_equal(teacher_shape, student_shape):
    pairs = zip(teacher_shape[1:], student_shape[1:], strict=False)
    if len(teacher_shape) != len(student_shape) or any(
        None not in (t, s) and t != s for t, s in pairs
    ):
        raise ValueError(
            "Hint compares features of equal shapes. Received: teacher "
            f"{tuple(teacher_shape)}, student {tuple(student_shape)} after its projector. Use "
            "projector='regressor', or a layer that maps the student's shape to the teacher's."
        )
    check_same_batch("Hint", teacher_shape, student_shape)
