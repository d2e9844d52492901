"""Soft targets: the classic distillation of logits."""

from keras import ops

from kzoo.losses._arguments import check_number, check_one_pair, check_same_batch
from kzoo.losses._base import DistillationLoss
from kzoo.registry import register


def soft_targets(teacher, student, temperature=4.0):
    """Kullback-Leibler divergence of softened logits, times the squared temperature.

    Args:
        teacher: the teacher's logits, `(batch, ..., classes)`. No gradient flows to them.
        student: the student's logits, of the same shape.
        temperature: what both logits are divided by, > 0.

    Returns:
        One value per sample, float32, `(batch,)`. Axes between the first and the last (dense
        prediction) are averaged.

    Raises:
        ValueError: where the shapes differ, or for a temperature that is not > 0.
    """
    check_number("temperature", temperature)
    _check_classes(teacher.shape, student.shape)
    teacher = ops.stop_gradient(ops.cast(teacher, "float32")) / temperature
    student = ops.cast(student, "float32") / temperature
    log_teacher = ops.log_softmax(teacher, axis=-1)
    log_student = ops.log_softmax(student, axis=-1)
    divergence = ops.sum(ops.exp(log_teacher) * (log_teacher - log_student), axis=-1)
    if len(divergence.shape) > 1:
        divergence = ops.mean(divergence, axis=tuple(range(1, len(divergence.shape))))
    return temperature**2 * divergence


@register(
    "loss",
    paper="arXiv:1503.02531",
    aliases=("KD", "KLDivergence"),
    tiny={"args": {}, "teacher_shape": (4, 5), "student_shape": (4, 5)},
    per_sample=True,
    zero_at_equal=True,
    logits=True,
)
class SoftTargets(DistillationLoss):
    """Distils the teacher's class probabilities, softened by a temperature.

    The first loss to try, and the one that every other is measured against. It needs two
    classifiers with the same classes; it reads their logits and owns no weights.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", NIPS
        Deep Learning Workshop 2014, arXiv:1503.02531.

    With `p_t = softmax(teacher / T)` and `p_s = softmax(student / T)`, per sample:

        L = T² · Σ_k p_t[k] · (log p_t[k] − log p_s[k])

    Its gradient by the student's logits is `T · (p_s − p_t)`. The factor `T²` keeps the size
    of that gradient when T changes: for large T it tends to `(student − teacher) / classes`
    (of logits with zero mean), and the value to half the variance of `student − teacher` over
    the classes.

    Args:
        temperature: T, > 0. The paper used 20 for wide networks and 2.5 to 4 for small ones.
        weight: weight of the loss, a number or a schedule of the step. 1 is RepDistiller's beside
            other losses; on its own it is published as 0.9 with `task_weight=0.1`.
        teacher_tap: the teacher's tap, `"logits"`.
        student_tap: the student's tap, `"logits"`.
        **kwargs: those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's logits.
        student: the student's logits.

    Input shape:
        Two tensors `(batch, ..., classes)`.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: where the shapes differ, or for a temperature that is not > 0.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import SoftTargets

    teacher = np.array([[4.0, 0.0, -4.0]], "float32")
    student = np.array([[0.0, 0.0, 0.0]], "float32")
    per_sample = SoftTargets(temperature=4.0)(teacher, student)  # shape (1,)
    ```

    Differences from the paper: the paper mixes this with the cross-entropy of the labels; here
    that is the trainer's task loss and each has its own weight. Computed in log space in float32,
    so it is finite for logits of ±1e4; probabilities are never clipped.
    """

    def __init__(
        self, temperature=4.0, weight=None, teacher_tap="logits", student_tap="logits", **kwargs
    ):
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_number("temperature", temperature)
        check_one_pair(self, teacher_tap)
        self.temperature = temperature

    def build(self, teacher_shape, student_shape):
        """Check that both have the same classes."""
        _check_classes(teacher_shape, student_shape)

    def call(self, teacher, student):
        """The loss of each sample."""
        return soft_targets(teacher, student, self.temperature)

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (student_shape[0],)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "temperature": self.temperature}


def _check_classes(teacher_shape, student_shape):
    axes = zip(teacher_shape[1:-1], student_shape[1:-1], strict=False)
    unlike = any(None not in (t, s) and t != s for t, s in axes)
    if len(teacher_shape) < 2 or len(teacher_shape) != len(student_shape) or unlike:
        raise ValueError(
            "Teacher and student logits must have the same shape (batch, ..., classes). "
            f"Received: teacher {tuple(teacher_shape)}, student {tuple(student_shape)}"
        )
    if teacher_shape[-1] != student_shape[-1]:
        raise ValueError(
            "Teacher and student must have the same classes in the same order. Received: "
            f"{teacher_shape[-1]} classes of the teacher, {student_shape[-1]} of the student. "
            "Give the models equal tops, or distil features instead (for example kzoo.losses.Hint)."
        )
    check_same_batch("SoftTargets", teacher_shape, student_shape)
