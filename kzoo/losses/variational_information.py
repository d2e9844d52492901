"""Variational information: a Gaussian around the student makes the teacher's feature likely."""

import math

import keras
from keras import ops

from kzoo.losses._arguments import check_number, check_one_pair, check_ranks
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import frozen, single, smaller
from kzoo.losses._projector_argument import read, written
from kzoo.registry import register

_VARIANCE_FLOOR = 1e-5


def variational_information(teacher, student, variance=5.0):
    """Negative log-likelihood of the teacher's feature under a Gaussian, but for ½ log 2π.

    Args:
        teacher: the teacher's feature, `(batch, height, width, channels)` or
            `(batch, features)`. No gradient flows to it.
        student: the mean that the student predicts for it, with the same channels. The larger
            of two maps is pooled to the smaller.
        variance: σ² > 0, a number or one for each channel, `(channels,)`.

    Returns:
        One value per sample, float32, `(batch,)`: the mean over all other axes.

    Raises:
        ValueError: for other ranks, unlike channels, maps of unknown size that would have to be
            pooled, or a variance that is not > 0.
    """
    if isinstance(variance, int | float):
        check_number("variance", variance)
    _check_shapes(teacher.shape, student.shape)
    _check_channels(teacher.shape, student.shape)
    teacher, student = _same_size(frozen(teacher), single(student))
    variance = ops.cast(variance, "float32")
    values = 0.5 * (ops.square(student - teacher) / variance + ops.log(variance))
    return ops.mean(values, axis=tuple(range(1, len(values.shape))))


@register(
    "loss",
    paper="arXiv:1904.05835",
    aliases=("VID",),
    tiny={"args": {}, "teacher_shape": (2, 4, 3, 5), "student_shape": (2, 6, 6, 4)},
    per_sample=True,
    zero_at_equal=False,
    logits=False,
)
class VariationalInformation(DistillationLoss):
    """Raises a lower bound on what the student's feature tells about the teacher's.

    For one pair of maps (or of vectors) of any channels; give one loss per stage. Channels that
    the student cannot predict get a large variance and stop to matter, which makes it gentler
    than `Hint`. Use it together with `SoftTargets`.

    Reference:
        S. Ahn, S. X. Hu, A. Damianou, N. D. Lawrence, Z. Dai, "Variational Information
        Distillation for Knowledge Transfer", CVPR 2019, arXiv:1904.05835.

    With the mean network μ and a variance σ² for each channel c, per sample:

        L = mean over places and channels of ½ · ((teacher − μ(student))² / σ_c² + log σ_c²)

    μ is three 1 x 1 convolutions without bias (dense layers between vectors), each as wide as the
    teacher's feature, with ReLU between them; `σ_c² = softplus(ρ_c) + 1e-5`. Both are trained.
    The value may be negative. The larger map is pooled to the smaller before μ.

    Args:
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        projector: `"mean_network"` makes μ; `None` compares the features as they are, which
            needs equal channels; or a layer of your own that gives the teacher's channels. It
            sees the student's feature before pooling.
        initial_variance: σ² at the start, > 1e-5.
        weight: weight of the loss, a number or a schedule of the step. `None`: 1, as published.
        **kwargs: `pre_activation`, `stage` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's feature.
        student: the student's feature.
        training: passed on to a projector of your own.

    Input shape:
        Two maps `(batch, height, width, channels)` or two vectors `(batch, features)`.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for features of other or unlike ranks or unknown sizes, for channels that
            differ after the projector, for lists of taps, or for a bad variance.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import VariationalInformation

    teacher = np.random.rand(2, 4, 4, 16).astype("float32")
    student = np.random.rand(2, 8, 8, 4).astype("float32")
    loss = VariationalInformation(teacher_tap="stage2", student_tap="stage1")
    per_sample = loss(teacher, student)  # shape (2,)
    ```

    Differences from the paper: this follows RepDistiller, which leaves out the constant ½ log 2π
    and takes the mean over places and channels. It has maps alone; here vectors get dense layers
    and one variance a feature. It pools by the height alone, here each axis counts for itself.
    """

    def __init__(
        self,
        teacher_tap="stage1",
        student_tap="stage1",
        projector="mean_network",
        initial_variance=5.0,
        weight=None,
        **kwargs,
    ):
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        check_number("initial_variance", initial_variance, low=_VARIANCE_FLOOR)
        self.projector = read(projector, "mean_network")
        self.initial_variance = initial_variance
        self._mean = None if projector == "mean_network" else self.projector

    def build(self, teacher_shape, student_shape):
        """Make the mean network and the variances."""
        _check_shapes(teacher_shape, student_shape)
        channels = teacher_shape[-1]
        if self.projector == "mean_network":
            self._mean = MeanNetwork(channels, dtype=self.dtype_policy, name="mean_network")
        if self._mean is not None:
            if not self._mean.built:
                self._mean.build(tuple(student_shape))
            student_shape = self._mean.compute_output_shape(tuple(student_shape))
        _check_channels(teacher_shape, student_shape)
        excess = self.initial_variance - _VARIANCE_FLOOR
        self.raw_variance = self.add_weight(
            name="raw_variance",
            shape=(channels,),
            # The inverse of softplus, in a form that does not overflow.
            initializer=keras.initializers.Constant(excess + math.log(-math.expm1(-excess))),
        )

    @property
    def variance(self):
        """σ² of each channel, a tensor `(channels,)`."""
        return ops.softplus(self.raw_variance) + _VARIANCE_FLOOR

    def call(self, teacher, student, training=None):
        """The loss of each sample."""
        if self.projector == "mean_network":
            teacher, student = _same_size(teacher, single(student))
            student = self._mean(student)
        elif self._mean is not None:
            student = self._mean(student, training=training)
        return variational_information(teacher, student, self.variance)

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (student_shape[0],)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "projector": written(self.projector),
            "initial_variance": self.initial_variance,
        }


class MeanNetwork(keras.layers.Layer):
    """Three dense layers over the channels, with ReLU between them.

    Args:
        channels: units of each.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.denses = []

    def build(self, student_shape):
        """Create the dense layers."""
        shape = tuple(student_shape)
        for name, activation in (("first", "relu"), ("second", "relu"), ("third", None)):
            dense = keras.layers.Dense(
                self.channels, activation, use_bias=False, dtype=self.dtype_policy, name=name
            )
            dense.build(shape)
            shape = (*shape[:-1], self.channels)
            self.denses.append(dense)

    def call(self, student):
        """The predicted mean."""
        for dense in self.denses:
            student = dense(student)
        return student

    def compute_output_shape(self, student_shape):
        """The teacher's channels."""
        return (*student_shape[:-1], self.channels)


def _same_size(teacher, student):
    sizes = tuple(teacher.shape[1:-1]), tuple(student.shape[1:-1])
    return (teacher, student) if sizes[0] == sizes[1] else smaller(teacher, student)


def _check_shapes(teacher_shape, student_shape):
    expected = "two maps (batch, height, width, channels) or two vectors (batch, features)"
    check_ranks("VariationalInformation", teacher_shape, student_shape, (2, 4), expected)
    sizes = tuple(teacher_shape[1:-1]), tuple(student_shape[1:-1])
    unknown = None in (teacher_shape[-1], student_shape[-1])
    if (
        len(sizes[0]) != len(sizes[1])
        or unknown
        or (sizes[0] != sizes[1] and None in sum(sizes, ()))
    ):
        raise ValueError(
            f"VariationalInformation compares {expected}, of known sizes. Received: teacher "
            f"{tuple(teacher_shape)}, student {tuple(student_shape)}. Choose taps of equal rank, "
            "and build the models with a fixed input size."
        )


def _check_channels(teacher_shape, student_shape):
    if teacher_shape[-1] != student_shape[-1]:
        raise ValueError(
            "VariationalInformation predicts each channel of the teacher. Received: "
            f"{teacher_shape[-1]} channels of the teacher, {student_shape[-1]} of the student "
            "after its projector. Use projector='mean_network'."
        )
