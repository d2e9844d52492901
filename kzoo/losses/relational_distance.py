"""Relational distillation of distances: which samples lie near each other."""

from keras import ops

from kzoo.losses._arguments import check_one_pair
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import frozen, single
from kzoo.losses._gram import check_relation, gram, unlike
from kzoo.registry import register

PUBLISHED_WEIGHT = 25.0
_SQUARE_FLOOR = 1e-12


def relational_distance(teacher, student):
    """Smooth L1 between the distances of all pairs of samples, each relative to their mean.

    Args:
        teacher: the teacher's feature, `(batch, ...)`. No gradient flows to it.
        student: the student's feature, `(batch, ...)`; it may have another size.

    Returns:
        A scalar, float32: the mean over all batch² pairs, the diagonal of zeros among them.
        Under replicas it is the value of each replica.

    Raises:
        ValueError: for features of unknown size, unlike batches or a batch of one.
    """
    check_relation("RelationalDistance", teacher.shape, student.shape)
    difference = _relative_distances(single(student)) - _relative_distances(frozen(teacher))
    size = ops.abs(difference)
    return ops.mean(ops.where(size < 1.0, 0.5 * ops.square(difference), size - 0.5))


@register(
    "loss",
    paper="arXiv:1904.05068",
    aliases=("RKD-D", "RKDDistance"),
    tiny={"args": {}, "teacher_shape": (5, 6), "student_shape": (5, 4)},
    per_sample=False,
    zero_at_equal=True,
    logits=False,
)
class RelationalDistance(DistillationLoss):
    """Transfers the distances between the samples of a batch.

    For features of unlike sizes, without a projector: only relations are compared, so the
    student may rotate and scale its space. Usually together with `RelationalAngle` and
    `SoftTargets`, on the pooled feature.

    Reference:
        W. Park, D. Kim, Y. Lu, M. Cho, "Relational Knowledge Distillation", CVPR 2019,
        arXiv:1904.05068.

    For samples i and j with features e, in each model:

        d_ij = ‖e_i − e_j‖₂ / m        m: the mean of ‖e_i − e_j‖₂ over i ≠ j
        L = mean over i, j of smooth_l1(d_ij(student) − d_ij(teacher))

    with `smooth_l1(x) = x²/2` for |x| < 1 and `|x| − 1/2` elsewhere. The student's mean
    distance takes part in the gradient.

    Args:
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        weight: weight of the loss, a number or a schedule of the step. `None`: 25, as published
            with 50 for `RelationalAngle`.
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
        ValueError: for features of unknown size, unlike batches, a batch of one, or lists of taps.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import RelationalDistance

    teacher = np.random.rand(8, 64).astype("float32")
    student = np.random.rand(8, 16).astype("float32")
    value = RelationalDistance()(teacher, student)  # a scalar
    ```

    Differences from the paper: this follows the authors' code, in which squared distances are at
    least 1e-12 and the mean is taken over all batch² pairs. Distances come from the Gram matrix
    about the mean of the batch, in memory of batch² and not batch² times the size of the feature.
    """

    def __init__(self, teacher_tap="pooled", student_tap="pooled", weight=None, **kwargs):
        weight = PUBLISHED_WEIGHT if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)

    def build(self, teacher_shape, student_shape):
        """Check that there are relations to compare."""
        check_relation("RelationalDistance", teacher_shape, student_shape)

    def call(self, teacher, student):
        """The loss of the batch."""
        return relational_distance(teacher, student)

    def compute_output_shape(self, teacher_shape, student_shape):
        """A scalar."""
        return ()


def _relative_distances(feature):
    products = gram(feature)
    squares = ops.diagonal(products)
    squares = squares[:, None] + squares[None] - 2.0 * products
    batch = ops.shape(products)[0]
    distances = ops.sqrt(ops.maximum(squares, _SQUARE_FLOOR)) * unlike(batch)
    pairs = ops.maximum(ops.cast(batch * (batch - 1), "float32"), 1.0)
    # No distance is shorter than the floor, so this only keeps a lone sample from 0 / 0.
    mean = ops.maximum(ops.sum(distances) / pairs, _SQUARE_FLOOR**0.5)
    return distances / mean
