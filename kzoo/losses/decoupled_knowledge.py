"""Decoupled knowledge: soft targets split into the target's part and that of the other classes."""

import numpy as np
from keras import ops

from kzoo.losses._arguments import check_number, check_one_pair, check_same_batch
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import frozen, single
from kzoo.losses._told import told_integers
from kzoo.registry import register


def decoupled_knowledge(
    teacher, student, labels, temperature=4.0, target_weight=1.0, nontarget_weight=8.0
):
    """Divergence of target against rest, and divergence among the rest, with a weight each.

    Args:
        teacher: the teacher's logits, `(batch, classes)`. No gradient flows to them.
        student: the student's logits, of the same shape.
        labels: the class of each sample, integers `(batch,)` or `(batch, 1)`.
        temperature: what both logits are divided by, > 0.
        target_weight: weight of the divergence between target and rest, >= 0.
        nontarget_weight: weight of the divergence among the other classes, >= 0.

    Returns:
        One value per sample, float32, `(batch,)`; NaN where a label is none of the classes, since
        a graph cannot raise.

    Raises:
        ValueError: for other ranks, unlike classes or batches, fewer than two classes, labels
            that are not one integer a sample, or bad numbers.
    """
    _check_numbers(temperature, target_weight, nontarget_weight)
    _check_classes(teacher.shape, student.shape)
    labels = told_integers("DecoupledKnowledge", student.shape[0], "labels", labels)
    target = ops.equal(labels[:, None], ops.arange(student.shape[-1], dtype="int32")[None])
    log_t, log_rest_t, log_others_t = _split(frozen(teacher) / temperature, target)
    log_s, log_rest_s, log_others_s = _split(single(student) / temperature, target)
    binary = ops.exp(log_t) * (log_t - log_s) + ops.exp(log_rest_t) * (log_rest_t - log_rest_s)
    others = ops.where(target, 0.0, ops.exp(log_others_t) * (log_others_t - log_others_s))
    value = target_weight * binary + nontarget_weight * ops.sum(others, axis=-1)
    return ops.where(ops.any(target, axis=-1), temperature**2 * value, float("nan"))


@register(
    "loss",
    paper="arXiv:2203.08679",
    aliases=("DKD",),
    tiny={
        "args": {},
        "teacher_shape": (4, 5),
        "student_shape": (4, 5),
        "context": {"labels": np.arange(1, 5, dtype="int32")},
    },
    per_sample=True,
    zero_at_equal=True,
    logits=True,
)
class DecoupledKnowledge(DistillationLoss):
    """Distils what the teacher says about the wrong classes, even where it is sure of the right.

    In place of `SoftTargets` when the labels of the transfer set are known and the teacher is
    confident: plain soft targets then hardly see the other classes.

    Reference:
        B. Zhao, Q. Cui, R. Song, Y. Qiu, J. Liang, "Decoupled Knowledge Distillation", CVPR
        2022, arXiv:2203.08679.

    With `p = softmax(logits / T)`, the label y, `b = (p_y, 1 − p_y)` and p̂ the softmax over all
    classes but y, per sample:

        TCKD = T² · KL(b_teacher ‖ b_student)      NCKD = T² · KL(p̂_teacher ‖ p̂_student)
        L = target_weight · TCKD + nontarget_weight · NCKD

    `SoftTargets` is `TCKD + (1 − p_y(teacher)) · NCKD`: there a confident teacher silences the
    second term. With two classes NCKD is zero, so the layer refuses them: use `SoftTargets`,
    which is the same then.

    Args:
        temperature: T, > 0.
        target_weight: weight of TCKD (the paper's α), >= 0.
        nontarget_weight: weight of NCKD (the paper's β), >= 0. The surer the teacher, the
            larger it may be.
        weight: weight of the loss, a number or a schedule of the step (the authors raise it
            linearly over the first 20 epochs). `None`: 1, as published.
        teacher_tap: the teacher's tap, `"logits"`.
        student_tap: the student's tap, `"logits"`.
        **kwargs: those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's logits.
        student: the student's logits.
        labels: the class of each sample, integers `(batch,)` or `(batch, 1)`. A label that is
            none of the classes makes the value of its sample NaN.

    Input shape:
        Two tensors `(batch, classes)`, three classes at least.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for other ranks, unlike classes, fewer than three classes, labels that are
            not one integer a sample, lists of taps, or bad numbers.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import DecoupledKnowledge

    teacher = np.array([[4.0, 0.0, -4.0]], "float32")
    student = np.array([[0.0, 0.0, 0.0]], "float32")
    per_sample = DecoupledKnowledge()(teacher, student, labels=np.array([0]))  # shape (1,)
    ```

    Differences from the paper: none. The target is left out of p̂ exactly; the authors' code
    subtracts 1000 from its logit. Everything is computed in log space in float32.
    """

    def __init__(
        self,
        temperature=4.0,
        target_weight=1.0,
        nontarget_weight=8.0,
        weight=None,
        teacher_tap="logits",
        student_tap="logits",
        **kwargs,
    ):
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        _check_numbers(temperature, target_weight, nontarget_weight)
        check_one_pair(self, teacher_tap)
        self.temperature = temperature
        self.target_weight = target_weight
        self.nontarget_weight = nontarget_weight

    def build(self, teacher_shape, student_shape):
        """Check that both have the same classes, three at least."""
        _check_classes(teacher_shape, student_shape)
        if student_shape[-1] == 2:
            raise ValueError(
                "Between two classes there are no others to tell apart, so DecoupledKnowledge has "
                "nothing to add. Use SoftTargets. Received: logits of two classes."
            )

    def call(self, teacher, student, labels=None):
        """The loss of each sample."""
        return decoupled_knowledge(
            teacher, student, labels, self.temperature, self.target_weight, self.nontarget_weight
        )

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (student_shape[0],)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "target_weight": self.target_weight,
            "nontarget_weight": self.nontarget_weight,
        }


def _split(logits, target):
    """log p_y and log(1 − p_y), `(batch,)`, and log p̂, `(batch, classes)`, 0 at the target."""
    largest = ops.max(ops.where(target, -float("inf"), logits), axis=-1, keepdims=True)
    largest = ops.stop_gradient(largest)
    others = ops.where(target, 0.0, logits - largest)
    powers = ops.where(target, 0.0, ops.exp(others))
    log_sum = ops.log(ops.sum(powers, axis=-1, keepdims=True))
    log_others = ops.where(target, 0.0, others - log_sum)
    rest = (log_sum + largest)[:, 0]
    own = ops.sum(ops.where(target, logits, 0.0), axis=-1)
    # log p_y and log(1 − p_y) are the log-sigmoids of the difference and of its negative.
    return -ops.softplus(rest - own), -ops.softplus(own - rest), log_others


def _check_numbers(temperature, target_weight, nontarget_weight):
    check_number("temperature", temperature)
    check_number("target_weight", target_weight, inclusive=True)
    check_number("nontarget_weight", nontarget_weight, inclusive=True)


def _check_classes(teacher_shape, student_shape):
    shapes = tuple(teacher_shape), tuple(student_shape)
    if any(len(shape) != 2 for shape in shapes) or shapes[0][-1] != shapes[1][-1]:
        raise ValueError(
            "DecoupledKnowledge compares logits (batch, classes) of the same classes in the same "
            f"order. Received: teacher {shapes[0]}, student {shapes[1]}. Give the models equal "
            "tops, or distil features instead."
        )
    if shapes[0][-1] is None or shapes[0][-1] < 2:
        raise ValueError(
            "DecoupledKnowledge needs two classes or more, the target and others. Received: "
            f"logits {shapes[1]}. Give a binary classifier two logits."
        )
    check_same_batch("DecoupledKnowledge", *shapes)
