"""Relational distillation of angles: the shape of each triangle of samples."""

from keras import ops

from kzoo.losses._arguments import check_integer, check_one_pair
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import frozen, single
from kzoo.losses._gram import check_relation, gram
from kzoo.registry import register

PUBLISHED_WEIGHT = 50.0
# Below these, absolute and relative to the squared lengths, a squared difference is rounding.
_SQUARE_FLOOR, _RELATIVE_FLOOR = 1e-12, 1e-6


def relational_angle(teacher, student, max_anchors=None):
    """Smooth L1 between the cosines of the angles of all triples of samples.

    Args:
        teacher: the teacher's feature, `(batch, ...)`. No gradient flows to it.
        student: the student's feature, `(batch, ...)`; it may have another size.
        max_anchors: at most so many samples are the vertex of angles, evenly spread over the
            batch; `None` for all.

    Returns:
        A scalar, float32: the mean over all anchors · batch² triples, those with equal members
        among them. Under replicas it is the value of each replica. It can be differentiated
        once, not twice.

    Raises:
        ValueError: for features of unknown size, unlike batches or a batch of one, or for
            `max_anchors` that is no integer >= 1.
    """
    check_relation("RelationalAngle", teacher.shape, student.shape)
    if max_anchors is not None:
        check_integer("max_anchors", max_anchors)
    products = gram(single(student))
    batch = ops.shape(products)[0]
    anchors = _anchors(batch, max_anchors)
    sides = _sides(products, anchors)
    fixed = tuple(ops.stop_gradient(part) for part in (products, *sides))
    teacher = gram(frozen(teacher))
    value, slopes = _value_and_slopes((teacher, *_sides(teacher, anchors)), fixed)
    count = ops.cast(ops.shape(sides[0])[0], "float32") * ops.cast(batch, "float32") ** 2
    return (value + _with_gradient(products, sides, slopes)) / count


@register(
    "loss",
    paper="arXiv:1904.05068",
    aliases=("RKD-A", "RKDAngle"),
    tiny={"args": {}, "teacher_shape": (5, 6), "student_shape": (5, 4)},
    per_sample=False,
    zero_at_equal=True,
    logits=False,
)
class RelationalAngle(DistillationLoss):
    """Transfers the angles that the samples of a batch form with each other.

    For features of unlike sizes, without a projector; angles say more about the structure than
    distances do. Usually together with `RelationalDistance` and `SoftTargets`, on the pooled
    feature. The cost grows with the cube of the batch: above 256 set `max_anchors`.

    Reference:
        W. Park, D. Kim, Y. Lu, M. Cho, "Relational Knowledge Distillation", CVPR 2019,
        arXiv:1904.05068.

    For samples i, j, k with features e, in each model:

        c_jik = cos ∠ of (e_i − e_j) and (e_k − e_j), and 0 where either is zero
        L = mean over j, i, k of smooth_l1(c_jik(student) − c_jik(teacher))

    with `smooth_l1(x) = x²/2` for |x| < 1 and `|x| − 1/2` elsewhere.

    Args:
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        max_anchors: how many samples j to take at most; they are evenly spread over the
            batch and always the same places. `None`: all, as published.
        weight: weight of the loss, a number or a schedule of the step. `None`: 50, as published
            with 25 for `RelationalDistance`.
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
            or `max_anchors` that is no integer >= 1.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import RelationalAngle

    teacher = np.random.rand(8, 64).astype("float32")
    student = np.random.rand(8, 16).astype("float32")
    value = RelationalAngle(max_anchors=4)(teacher, student)  # a scalar
    ```

    Differences from the paper: this follows the authors' code, in which the mean is over all batch³
    triples; those with equal members add zeros. Cosines come from the Gram matrix G about the mean
    of the batch: `(e_i − e_j)·(e_k − e_j) = G_ik − G_ij − G_jk + G_jj`. Squared differences below a
    millionth of the squared lengths are rounding in float32 and count as zero. The gradient is
    computed with the value, so that nothing of size batch³ is kept for it.
    """

    def __init__(
        self, teacher_tap="pooled", student_tap="pooled", max_anchors=None, weight=None, **kwargs
    ):
        weight = PUBLISHED_WEIGHT if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        if max_anchors is not None:
            check_integer("max_anchors", max_anchors)
        self.max_anchors = max_anchors

    def build(self, teacher_shape, student_shape):
        """Check that there are relations to compare."""
        check_relation("RelationalAngle", teacher_shape, student_shape)

    def call(self, teacher, student):
        """The loss of the batch."""
        return relational_angle(teacher, student, self.max_anchors)

    def compute_output_shape(self, teacher_shape, student_shape):
        """A scalar."""
        return ()

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "max_anchors": self.max_anchors}


def _anchors(batch, max_anchors):
    """The places of the anchors in the batch."""
    if max_anchors is None:
        return ops.arange(batch)
    # The batch is a tensor where a graph does not know its size.
    known = isinstance(batch, int)
    count = min(batch, max_anchors) if known else ops.minimum(batch, max_anchors)
    return ops.arange(count) * batch // count


def _sides(products, anchors):
    """Of the difference of each sample i to each anchor j: `G_ij − G_jj/2` and ‖e_i − e_j‖².

    Both are (anchors, batch); squared lengths of 0 say that the difference is zero.
    """
    squares = ops.diagonal(products)
    near = ops.take(products, anchors, axis=0)
    own = ops.take(squares, anchors)[:, None]
    lengths = own + squares[None] - 2.0 * near
    floor = ops.maximum(_RELATIVE_FLOOR * ops.stop_gradient(own + squares[None]), _SQUARE_FLOOR)
    same = ops.equal(anchors[:, None], ops.arange(ops.shape(products)[0])[None])
    zero = ops.logical_or(lengths <= floor, same)
    return near - 0.5 * own, ops.where(zero, 0.0, lengths)


def _inverse(lengths):
    """1 / length from squared lengths, and 0 for 0."""
    return ops.where(lengths > 0, ops.rsqrt(ops.where(lengths > 0, lengths, 1.0)), 0.0)


def _cosines(products, near, lengths):
    """(anchors, batch, batch)."""
    inverse = _inverse(lengths)
    cosines = products[None] - near[:, :, None]
    cosines = cosines - near[:, None, :]
    cosines = cosines * inverse[:, :, None]
    return cosines * inverse[:, None, :]


def _value_and_slopes(teacher, student):
    """The sum of the loss over all triples, and its derivatives by the student's three parts.

    With P = smooth_l1'(c) / (|e_i − e_j| |e_k − e_j|), symmetric in i and k, the cosines give
    P by G_ik, −P by either `near`, and −smooth_l1'(c) c / 2 by the logarithm of either ‖·‖².
    """
    cosines = _cosines(*student)
    difference = cosines - _cosines(*teacher)
    slope = ops.clip(difference, -1.0, 1.0)
    by_logarithm = ops.sum(slope * cosines, axis=-1)
    del cosines
    value = ops.sum(slope * difference) - 0.5 * ops.sum(ops.square(slope))
    del difference
    inverse = _inverse(student[2])
    slope = slope * inverse[:, :, None]
    slope = slope * inverse[:, None, :]
    return value, (ops.sum(slope, axis=0), -2.0 * ops.sum(slope, axis=-1), -by_logarithm)


def _with_gradient(products, sides, slopes):
    """Zero, with the gradient that `slopes` say."""
    near, lengths = sides
    logarithms = ops.log(ops.where(lengths > 0, lengths, 1.0))
    parts = zip(slopes, (products, near, logarithms), strict=True)
    linear = sum(ops.sum(slope * part) for slope, part in parts)
    return linear - ops.stop_gradient(linear)
