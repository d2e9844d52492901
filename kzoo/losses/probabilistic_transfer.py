"""Probabilistic knowledge transfer: the same neighbours, as probabilities over the batch."""

from keras import ops

from kzoo.losses._arguments import check_choice, check_one_pair
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import flat, frozen, single, unit
from kzoo.losses._gram import check_relation, unlike
from kzoo.registry import register

PUBLISHED_WEIGHTS = {"paper": 1.0, "reference": 30000.0}
EPSILON = 1e-7


def probabilistic_transfer(teacher, student, variant="paper"):
    """Divergence of the probabilities with which samples choose each other as neighbours.

    Args:
        teacher: the teacher's feature, `(batch, ...)`. No gradient flows to it.
        student: the student's feature; its shape may differ but for the batch.
        variant: `"paper"`: sum over the pairs of unlike samples; `"reference"`: mean over all
            pairs.

    Returns:
        A scalar, float32: the loss couples the samples of a batch. Under a distribution strategy it
        couples those of each replica.

    Raises:
        ValueError: for a batch of one, features of unknown size and an unknown variant.
    """
    check_choice("variant", variant, PUBLISHED_WEIGHTS)
    check_relation("ProbabilisticTransfer", teacher.shape, student.shape)
    teacher, student = flat(frozen(teacher)), flat(single(student))
    if variant == "reference":
        target, estimate = _probabilities(teacher), _probabilities(student)
        return ops.mean(target * ops.log((target + EPSILON) / (estimate + EPSILON)))
    log_target, log_estimate = _log_probabilities(teacher), _log_probabilities(student)
    others = unlike(ops.shape(teacher)[0])
    return ops.sum(others * ops.exp(log_target) * (log_target - log_estimate))


def _probabilities(rows):
    """Each row's cosine similarities to all rows, itself among them, divided by their sum."""
    squares = ops.sum(ops.square(rows), axis=1, keepdims=True)
    # The root has no gradient at 0.
    rows = rows / (ops.sqrt(ops.maximum(squares, 1e-12)) + EPSILON)
    similarities = _similarities(rows, 0.0)
    return similarities / ops.sum(similarities, axis=1, keepdims=True)


def _log_probabilities(rows):
    """Logarithm of each row's similarities to the other rows, divided by their sum."""
    # Opposite rows have similarity 0, which has no logarithm.
    similarities = _similarities(unit(rows), EPSILON)
    total = ops.sum(unlike(ops.shape(rows)[0]) * similarities, axis=1, keepdims=True)
    # No other sum is below epsilon, so this only keeps a lone sample from the logarithm of 0.
    return ops.log(similarities) - ops.log(ops.maximum(total, EPSILON))


def _similarities(rows, least):
    cosines = ops.matmul(rows, ops.transpose(rows))
    return ops.maximum((cosines + 1.0) / 2.0, least)


@register(
    "loss",
    paper="arXiv:1803.10837",
    aliases=("PKT",),
    tiny={"args": {}, "teacher_shape": (5, 6), "student_shape": (5, 4)},
    per_sample=False,
    zero_at_equal=True,
    logits=False,
)
class ProbabilisticTransfer(DistillationLoss):
    """Gives the samples of a batch the neighbours that they have in the teacher's space.

    Compares cosine similarities as probabilities, so any two features do, of any size: pooled ones
    as published, or others, which are flattened. It needs no projector and owns no weights. Made
    for retrieval; for classification use it together with `SoftTargets`.

    Reference:
        N. Passalis, A. Tefas, "Learning Deep Representations with Probabilistic Knowledge
        Transfer", ECCV 2018, arXiv:1803.10837.

    With cosine similarities `K_ij = (cos(x_i, x_j) + 1) / 2` of the teacher's features (P) and
    of the student's (Q):

        paper        P_ij = K_ij / Σ_{k≠i} K_ik    L = Σ_i Σ_{j≠i} P_ij log(P_ij / Q_ij)
        reference    P_ij = K_ij / Σ_k K_ik        L = mean_ij P_ij log((P_ij + ε) / (Q_ij + ε))

    That the paper leaves out the diagonal (unconfirmed) is second-hand knowledge; the authors' code
    keeps it, with ε = 1e-7 there and beside the norms. The paper's value is about B² times the
    reference's for batches of B samples: 16 000 at B = 128, a little more where B is small.

    Args:
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        variant: `"paper"`, the default, or `"reference"`, see above.
        weight: weight of the loss, a number or a schedule of the step. `None`: 30000 in the
            reference's variant, as RepDistiller has it. In the paper's it is 1, ours: no published
            weight is known. At B = 128, 30000 of the reference are about 1.8 of the paper's.
        **kwargs: `pre_activation`, `stage` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's feature.
        student: the student's feature.

    Input shape:
        Two tensors `(batch, ...)` of known sizes but for the batch; two samples at least. In the
        paper's variant two samples have one neighbour each, which is certain: the value is 0.

    Output shape:
        `()`: one value per batch, so sample weights do not apply. Under a distribution strategy
        each replica compares its own samples, and the mean of the replicas is not the value of the
        whole batch.

    Raises:
        ValueError: for a batch of one, lists of taps, features of unknown size and an unknown
            variant.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import ProbabilisticTransfer

    teacher = np.random.default_rng(0).random((8, 64))
    student = np.random.default_rng(1).random((8, 16))
    value = ProbabilisticTransfer()(teacher, student)  # a scalar
    ```

    Differences from the paper: similarities below 1e-7, of opposite features, count as 1e-7, so
    that their logarithm is finite. Features of norm below 1e-6 are not brought to norm 1. The
    authors' supervised term is left out: the task loss has the labels.
    """

    def __init__(
        self, teacher_tap="pooled", student_tap="pooled", variant="paper", weight=None, **kwargs
    ):
        check_choice("variant", variant, PUBLISHED_WEIGHTS)
        weight = PUBLISHED_WEIGHTS[variant] if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        self.variant = variant

    def build(self, teacher_shape, student_shape):
        """Check that there are relations to compare."""
        check_relation("ProbabilisticTransfer", teacher_shape, student_shape)

    def call(self, teacher, student):
        """The loss of the batch."""
        return probabilistic_transfer(teacher, student, self.variant)

    def compute_output_shape(self, teacher_shape, student_shape):
        """A scalar."""
        return ()

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "variant": self.variant}
