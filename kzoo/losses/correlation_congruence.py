"""Correlation congruence: how alike the samples of a batch are, by a Gaussian kernel."""

import math

from keras import ops

from kzoo.losses._arguments import check_choice, check_integer, check_number, check_one_pair
from kzoo.losses._base import DistillationLoss
from kzoo.losses._embedding import embedding
from kzoo.losses._features import flat, frozen, single, unit
from kzoo.losses._gram import check_relation
from kzoo.registry import register

PUBLISHED_WEIGHTS = {"paper": 100.0, "reference": 0.02}


def correlation_congruence(teacher, student, variant="paper", gamma=0.4, order=2):
    """Mean squared difference of the kernel matrices of a batch, or the reference's surrogate.

    Args:
        teacher: the teacher's feature, `(batch, ...)`. No gradient flows to it.
        student: the student's feature, `(batch, ...)`; for the reference, of the same size.
        variant: `"paper"`, the default, or `"reference"`.
        gamma: γ of the kernel `exp(−γ ‖a − b‖²)`; the reference has none.
        order: highest power of the kernel's Taylor series; `None` for the kernel itself.

    Returns:
        A scalar, float32. Under replicas it is the value of each replica.

    Raises:
        ValueError: for features of unknown size, unlike batches or a batch of one, for features
            of unlike sizes in the reference's variant, and for bad arguments.
    """
    _check_arguments(variant, gamma, order)
    check_relation("CorrelationCongruence", teacher.shape, student.shape)
    teacher, student = flat(frozen(teacher)), flat(single(student))
    if variant == "reference":
        _check_equal(teacher.shape, student.shape)
        return _surrogate(teacher, student)
    difference = _kernel(student, gamma, order) - _kernel(teacher, gamma, order)
    return ops.mean(ops.square(difference))


@register(
    "loss",
    paper="arXiv:1904.01802",
    aliases=("CC", "CCKD"),
    tiny={"args": {}, "teacher_shape": (5, 6), "student_shape": (5, 4)},
    per_sample=False,
    zero_at_equal=True,
    logits=False,
)
class CorrelationCongruence(DistillationLoss):
    """Transfers the similarities between the samples of a batch.

    For features of unlike sizes, without a projector in the paper's variant. It compares samples
    with each other, so batches that hold several samples of a class tell it more.

    Reference:
        B. Peng, X. Jin, J. Liu, D. Li, Y. Wu, Y. Liu, S. Zhou, Z. Zhang, "Correlation Congruence
        for Knowledge Distillation", ICCV 2019, arXiv:1904.01802.

    `variant="paper"`, with unit features f and P the order:

        k(f_i, f_j) = exp(−2γ) · Σ_{p=0..P} (2γ)^p / p! · (f_i·f_j)^p
        L = mean over i, j of (k_student − k_teacher)²

    `order=None` is the kernel that the series tends to, `exp(−γ ‖f_i − f_j‖²)`; its values
    are others: for orthogonal features both give exp(−2γ), for equal ones it gives 1 and the
    series of order 2 gives 0.95 at γ = 0.4.

    `variant="reference"` is RepDistiller's surrogate, with one trained dense layer E a model:

        Δ_b = E_s(student_b) − E_t(teacher_b)
        L = mean over b of Σ_d |Δ_b,d| · |Δ_b+1,d|

    It compares neighbours in the batch, so their order matters. It is numerically unrelated to
    the paper's (about 80 times its value), hence the other weight. The teacher's embedding is
    trained too, as published: both may shrink to please the loss.

    Args:
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        gamma: γ, > 0.
        order: P, an integer >= 1, or `None`.
        variant: `"paper"`, the default, or `"reference"`.
        embedding_size: units of both embeddings of the reference; `None` compares the features
            as they are. The paper's variant has none.
        weight: weight of the loss, a number or a schedule of the step. `None`: 100 in the paper's
            variant, as KD-Zoo has it, and 0.02 in the reference's, as RepDistiller has it.
        **kwargs: `pre_activation`, `stage` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's feature.
        student: the student's feature.

    Input shape:
        Two features `(batch, ...)` of any size; maps are flattened.

    Output shape:
        `()`: the loss couples the samples of a batch, so sample weights do not apply, and
        under replicas each compares its own samples.

    Raises:
        ValueError: for features of unknown size, unlike batches, a batch of one, lists of taps,
            or bad arguments.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import CorrelationCongruence

    teacher = np.random.rand(8, 64).astype("float32")
    student = np.random.rand(8, 16).astype("float32")
    value = CorrelationCongruence()(teacher, student)  # a scalar
    ```

    Differences from the paper: this is the congruence term alone; add `SoftTargets` for the
    samples one by one. How batches are drawn is the data's part.
    """

    def __init__(
        self,
        teacher_tap="pooled",
        student_tap="pooled",
        gamma=0.4,
        order=2,
        variant="paper",
        embedding_size=128,
        weight=None,
        **kwargs,
    ):
        _check_arguments(variant, gamma, order)
        weight = PUBLISHED_WEIGHTS[variant] if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        if embedding_size is not None:
            check_integer("embedding_size", embedding_size)
        self.gamma = gamma
        self.order = order
        self.variant = variant
        self.embedding_size = embedding_size
        self.teacher_embedding = self.student_embedding = None

    def build(self, teacher_shape, student_shape):
        """Make the embeddings of the reference's variant."""
        check_relation("CorrelationCongruence", teacher_shape, student_shape)
        if self.variant == "paper":
            return
        if self.embedding_size is None:
            _check_equal(teacher_shape, student_shape)
            return
        settings = self.embedding_size, self.dtype_policy
        self.teacher_embedding = embedding("teacher_embedding", teacher_shape, *settings)
        self.student_embedding = embedding("student_embedding", student_shape, *settings)

    def call(self, teacher, student):
        """The loss of the batch."""
        if self.teacher_embedding is None:
            return correlation_congruence(teacher, student, self.variant, self.gamma, self.order)
        teacher = self.teacher_embedding(flat(frozen(teacher)))
        return _surrogate(teacher, self.student_embedding(flat(single(student))))

    def compute_output_shape(self, teacher_shape, student_shape):
        """A scalar."""
        return ()

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "gamma": self.gamma,
            "order": self.order,
            "variant": self.variant,
            "embedding_size": self.embedding_size,
        }


def _kernel(rows, gamma, order):
    """The kernel of all pairs of rows, scaled to unit length."""
    rows = unit(rows)
    cosines = ops.matmul(rows, ops.transpose(rows))
    if order is None:
        return ops.exp(2.0 * gamma * (cosines - 1.0))
    scale = math.exp(-2.0 * gamma)
    total = 0.0
    for power in reversed(range(order + 1)):
        total = total * cosines + scale * (2.0 * gamma) ** power / math.factorial(power)
    return total


def _surrogate(teacher, student):
    sizes = ops.abs(student - teacher)
    # A lone sample has no neighbour: 0, where the mean of nothing would be NaN.
    count = ops.maximum(ops.cast(ops.shape(sizes)[0] - 1, "float32"), 1.0)
    return ops.sum(sizes[:-1] * sizes[1:]) / count


def _check_arguments(variant, gamma, order):
    check_choice("variant", variant, PUBLISHED_WEIGHTS)
    check_number("gamma", gamma)
    if order is not None:
        check_integer("order", order)


def _check_equal(teacher_shape, student_shape):
    sizes = [math.prod(shape[1:]) for shape in (teacher_shape, student_shape)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            "The reference's CorrelationCongruence subtracts features of equal size. Received: "
            f"{sizes[0]} values of the teacher, {sizes[1]} of the student. Use the class with an "
            "`embedding_size`, or variant='paper'."
        )
