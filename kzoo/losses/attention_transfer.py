"""Attention transfer: student and teacher look at the same places."""

from keras import ops

from kzoo.losses._arguments import check_choice, check_number
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import flat, frozen, pairs, shape_pairs, single, smaller, unit
from kzoo.losses._shapes import check_maps
from kzoo.registry import register

PUBLISHED_WEIGHTS = {"paper": 1.0, "reference": 1000.0}
POWERS = {"low": 1.0, "high": 4.0, "inclusive": True}


def attention_transfer(teacher, student, power=2.0, variant="paper"):
    """Distance of the normalised attention maps, summed over the pairs.

    Args:
        teacher: the teacher's maps, `(batch, height, width, channels)`, or a list of such. No
            gradient flows to them.
        student: the student's maps, as many; channels and sizes may differ.
        power: the exponent of the activations, from 1 to 4.
        variant: `"paper"`: half the norm; `"reference"`: mean of the squares.

    Returns:
        One value per sample, float32, `(batch,)`.

    Raises:
        ValueError: for anything but maps, for unequal numbers of them and for bad arguments.
    """
    check_choice("variant", variant, PUBLISHED_WEIGHTS)
    check_number("power", power, **POWERS)
    return sum(_distance(t, s, power, variant) for t, s in pairs(teacher, student))


def _distance(teacher, student, power, variant):
    check_maps("AttentionTransfer", teacher.shape, student.shape)
    teacher, student = smaller(frozen(teacher), single(student))
    squares = ops.square(_attention(student, power) - _attention(teacher, power))
    if variant == "reference":
        return ops.mean(squares, axis=-1)
    total, floor = ops.sum(squares, axis=-1), 1e-12
    # The root has no gradient at 0, so differences below rounding count as none.
    return ops.where(total > floor, 0.5 * ops.sqrt(ops.maximum(total, floor)), 0.0)


def _attention(maps, power):
    """Where the activations are large: one unit vector per sample."""
    strengths = ops.square(maps) if power == 2 else ops.power(ops.abs(maps), power)
    return unit(flat(ops.mean(strengths, axis=-1)), square_floor=1e-24)


@register(
    "loss",
    paper="arXiv:1612.03928",
    aliases=("AT",),
    tiny={
        "args": {"teacher_tap": ["a", "b"], "student_tap": ["a", "b"]},
        "teacher_shape": [(4, 4, 4, 3), (4, 5, 2, 4)],
        "student_shape": [(4, 8, 6, 2), (4, 2, 3, 5)],
    },
    per_sample=True,
    zero_at_equal=True,
    logits=False,
)
class AttentionTransfer(DistillationLoss):
    """Makes the student active where the teacher is, whatever the channels mean.

    For student and teacher of any width: channels are averaged away, so it needs no projector and
    owns no weights. It wants stages that see the image alike, best of equal size. Use it
    together with `SoftTargets`.

    Reference:
        S. Zagoruyko, N. Komodakis, "Paying More Attention to Attention: Improving the Performance
        of Convolutional Neural Networks via Attention Transfer", ICLR 2017, arXiv:1612.03928.

    With `q(f) = v / ‖v‖₂`, where `v = mean_c |f|^p` is one number per position, per sample:

        paper        L = Σ_pairs ½ ‖q(student) − q(teacher)‖₂
        reference    L = Σ_pairs mean_hw (q(student) − q(teacher))²

    So a pair's values relate as `reference = 4 · paper² / hw`: at 8 x 8 and a norm of 0.5 the
    paper's is 0.25, the reference's 0.0039, 64 times less. Their gradients differ too: that of
    the norm keeps its size as the maps come near, that of the square fades.

    Args:
        teacher_tap: a tap of maps, or a list of taps.
        student_tap: the same for the student, as many.
        power: p, from 1 to 4. The paper compares 1, 2 and 4; its code has 2.
        variant: `"paper"`, the default, or `"reference"` (the authors' code and RepDistiller), see
            above.
        weight: weight of the loss, a number or a schedule of the step. `None`: 1000 in the
            reference's variant, its β. In the paper's it is 1, ours: the paper gives no single
            number (see below).
        **kwargs: `pre_activation`, `stage` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's maps, or a list of them.
        student: the student's maps, or a list of as many.

    Input shape:
        `(batch, height, width, channels)` each, or lists of such. Where sizes differ the larger map
        is pooled, each axis by itself.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for features that are no maps or of unknown size, for unequal numbers of
            teacher's and student's, for `power` outside [1, 4] and for an unknown variant.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import AttentionTransfer

    teacher = [np.eye(8)[None, :, :, None] * np.ones((2, 1, 1, 16)), np.ones((2, 4, 4, 32))]
    student = [np.ones((2, 8, 8, 4)), np.ones((2, 4, 4, 8))]
    loss = AttentionTransfer(["stage1", "stage2"], ["stage1", "stage2"])
    per_sample = loss(teacher, student)  # shape (2,); the second pair adds nothing
    ```

    Differences from the paper: it interpolates attention maps of unequal size; here the features
    are pooled before (adaptive average), in both variants, as RepDistiller does. Its β is said to
    be 10³ divided by the elements of a map and by the batch (unconfirmed), which for the mean over
    the batch is a weight of 10³ / hw per pair: about 1 at 32 x 32 and 16 at 8 x 8. The sum over
    channels and the mean give the same q.
    """

    def __init__(
        self,
        teacher_tap=("stage1", "stage2", "stage3"),
        student_tap=("stage1", "stage2", "stage3"),
        power=2.0,
        variant="paper",
        weight=None,
        **kwargs,
    ):
        check_choice("variant", variant, PUBLISHED_WEIGHTS)
        weight = PUBLISHED_WEIGHTS[variant] if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        self.power = check_number("power", power, **POWERS)
        self.variant = variant

    def build(self, teacher_shape, student_shape):
        """Check that all are maps."""
        for teacher, student in shape_pairs(teacher_shape, student_shape):
            check_maps("AttentionTransfer", teacher, student)

    def call(self, teacher, student):
        """The loss of each sample."""
        return attention_transfer(teacher, student, self.power, self.variant)

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return shape_pairs(teacher_shape, student_shape)[0][1][:1]

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "power": self.power, "variant": self.variant}
