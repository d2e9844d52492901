"""Similarity preserving: samples that activate the teacher alike activate the student alike."""

from keras import ops

from kzoo.losses._arguments import check_one_pair
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import flat, frozen, single, unit
from kzoo.losses._gram import check_relation
from kzoo.registry import register

PUBLISHED_WEIGHT = 3000.0


def similarity_preserving(teacher, student):
    """Mean squared difference of the similarities between the samples of a batch.

    Args:
        teacher: the teacher's feature, `(batch, ...)`. No gradient flows to it.
        student: the student's feature; its shape may differ but for the batch.

    Returns:
        A scalar, float32: the loss couples the samples of a batch. Under a distribution strategy it
        couples those of each replica.

    Raises:
        ValueError: for a batch of one and features of unknown size.
    """
    check_relation("SimilarityPreserving", teacher.shape, student.shape)
    difference = _similarities(frozen(teacher)) - _similarities(single(student))
    return ops.mean(ops.square(difference))


def _similarities(feature):
    """Inner products between the samples, each row of norm 1."""
    rows = flat(feature)
    products = ops.matmul(rows, ops.transpose(rows))
    # Rows are normalised, so a common factor changes neither value nor gradient; it only keeps
    # the squares of the products within the range of float32.
    largest = ops.stop_gradient(ops.max(ops.abs(products)))
    return unit(products / ops.maximum(largest, 1e-24))


@register(
    "loss",
    paper="arXiv:1907.09682",
    aliases=("SP",),
    tiny={"args": {}, "teacher_shape": (4, 4, 3, 3), "student_shape": (4, 2, 5, 2)},
    per_sample=False,
    zero_at_equal=True,
    logits=False,
)
class SimilarityPreserving(DistillationLoss):
    """Keeps which samples of a batch activate a layer alike.

    Only similarities between samples are compared, so any two features do, maps or vectors, of any
    size: it needs no projector and owns no weights. Use it on the last maps, with batches
    that hold several samples of a class, together with `SoftTargets`.

    Reference:
        F. Tung, G. Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019,
        arXiv:1907.09682.

    With F the features of B samples as rows, of teacher (t) and student (s):

        G = F Fᵀ, each row divided by its norm        L = ‖G_t − G_s‖²_F / B²

    It is invariant to a factor on either side.

    Args:
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        weight: weight of the loss, a number or a schedule of the step. `None`: the published
            3000.
        **kwargs: `pre_activation`, `stage` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's feature.
        student: the student's feature.

    Input shape:
        Two tensors `(batch, ...)` of known sizes but for the batch; two samples at least.

    Output shape:
        `()`: one value per batch, so sample weights do not apply. Under a distribution strategy
        each replica compares its own samples, and the mean of the replicas is not the value of the
        whole batch.

    Raises:
        ValueError: for a batch of one, lists of taps and features of unknown size.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import SimilarityPreserving

    teacher = np.random.default_rng(0).random((8, 4, 4, 16))
    student = np.random.default_rng(1).random((8, 8, 8, 6))
    value = SimilarityPreserving()(teacher, student)  # a scalar
    ```

    Differences from the paper: it sums over several pairs of layers; use one loss per pair. Paper
    and code (RepDistiller's, checked by the author) agree, so there are no variants. A sample
    whose feature is 0 has similarity 0 to all.
    """

    def __init__(self, teacher_tap="stage3", student_tap="stage3", weight=None, **kwargs):
        weight = PUBLISHED_WEIGHT if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)

    def build(self, teacher_shape, student_shape):
        """Check that there are relations to compare."""
        check_relation("SimilarityPreserving", teacher_shape, student_shape)

    def call(self, teacher, student):
        """The loss of the batch."""
        return similarity_preserving(teacher, student)

    def compute_output_shape(self, teacher_shape, student_shape):
        """A scalar."""
        return ()
