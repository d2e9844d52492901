"""What an exit learns from the classifier behind it."""

from keras import ops

from kzoo.losses import soft_targets
from kzoo.trainers._terms import sample_weights

# Under the root, whose gradient at 0 is infinite.
_FLOOR = 1e-12


def soft_term(variant, teacher, student, temperature):
    """What tells softened classes apart, for each sample, without a factor T².

    Args:
        variant: `"paper"` for the divergence, `"reference"` for the cross-entropy, which is larger
            by the teacher's entropy and has the same gradient.
        teacher: logits, to which no gradient flows.
        student: logits.
        temperature: T.
    """
    if variant == "paper":
        return soft_targets(teacher, student, temperature) / temperature**2
    teacher = ops.softmax(ops.stop_gradient(teacher) / temperature)
    return -ops.sum(teacher * ops.log_softmax(student / temperature), axis=-1)


def hint_term(variant, teacher, student, sample_weight=None):
    """How far features `(batch, width)` are apart.

    Args:
        variant: `"paper"` for the squared distance of each sample, `"reference"` for the norm of
            the difference of the whole batch, a scalar.
        teacher: features, to which no gradient flows.
        student: features.
        sample_weight: of the batch; weighs the squares under the norm.
    """
    squares = ops.sum(ops.square(student - ops.stop_gradient(teacher)), axis=-1)
    if variant == "paper":
        return squares
    weights = sample_weights(sample_weight)
    squares = squares if weights is None else squares * weights
    return ops.sqrt(ops.maximum(ops.sum(squares), _FLOOR))
