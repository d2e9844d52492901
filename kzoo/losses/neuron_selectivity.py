"""Neuron selectivity transfer: the same distribution of activation patterns over neurons."""

from keras import ops

from kzoo.losses._arguments import check_choice, check_number, check_one_pair
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import frozen, single, smaller, unit
from kzoo.losses._shapes import check_maps
from kzoo.registry import register

PUBLISHED_WEIGHTS = {"paper": 50.0, "reference": 50.0}


def neuron_selectivity(teacher, student, constant=0.0, variant="paper"):
    """Squared maximum mean discrepancy of the neurons' patterns, polynomial kernel.

    Args:
        teacher: the teacher's maps, `(batch, height, width, channels)`. No gradient flows to them.
        student: the student's maps; channels and sizes may differ.
        constant: c of the kernel `(a·b + c)²`, >= 0.
        variant: `"paper"`: complete; `"reference"`: without the teacher's own term.

    Returns:
        One value per sample, float32, `(batch,)`; below 0 at times in the reference's variant.

    Raises:
        ValueError: for anything but maps of known size and for bad arguments.
    """
    check_choice("variant", variant, PUBLISHED_WEIGHTS)
    check_number("constant", constant, inclusive=True)
    check_maps("NeuronSelectivity", teacher.shape, student.shape)
    teacher, student = smaller(frozen(teacher), single(student))
    complete = variant == "paper"
    teacher, student = (_patterns(maps, complete) for maps in (teacher, student))
    positions, widest = student.shape[1], max(teacher.shape[2], student.shape[2])
    # Both give the same; the smaller Gram matrices win.
    squares = _by_channels if widest <= positions else _by_positions
    value = squares(teacher, student, complete)
    return value + _linear(teacher, student, constant, complete) if constant else value


def _patterns(maps, complete):
    """One unit vector per channel: `(batch, positions, channels)`."""
    height, width, channels = maps.shape[1:]
    maps = ops.reshape(maps, (-1, height * width, channels))
    if complete:
        return unit(maps, axis=1)
    return maps * ops.rsqrt(ops.sum(ops.square(maps), axis=1, keepdims=True) + 1e-10)


def _by_channels(teacher, student, complete):
    """The discrepancy for c = 0, from matrices of channels x channels."""

    def kernel(first, second):
        products = ops.matmul(ops.swapaxes(first, 1, 2), second)
        return ops.mean(ops.square(products), axis=(1, 2))

    value = kernel(student, student) - 2.0 * kernel(student, teacher)
    return value + kernel(teacher, teacher) if complete else value


def _by_positions(teacher, student, complete):
    """The same from matrices of positions x positions: `mean (a·b)² = <AAᵀ, BBᵀ> / (C_a C_b)`."""

    def second_moment(patterns):
        products = ops.matmul(patterns, ops.swapaxes(patterns, 1, 2))
        return products / patterns.shape[2]

    return _contrast(second_moment(teacher), second_moment(student), complete)


def _linear(teacher, student, constant, complete):
    """What c > 0 adds: `2c (a·b)` from the means over channels, and `c²`."""
    means = ops.mean(teacher, axis=-1), ops.mean(student, axis=-1)
    value = 2.0 * constant * _contrast(*means, complete)
    return value if complete else value - constant**2


def _contrast(teacher, student, complete):
    """`<s, s> − 2 <s, t>`, and `+ <t, t>` if complete, per sample."""
    terms = ops.square(student - teacher) if complete else student * (student - 2.0 * teacher)
    return ops.sum(terms, axis=tuple(range(1, len(terms.shape))))


@register(
    "loss",
    paper="arXiv:1707.01219",
    aliases=("NST",),
    tiny={"args": {}, "teacher_shape": (4, 4, 3, 5), "student_shape": (4, 3, 5, 7)},
    per_sample=True,
    zero_at_equal=True,
    logits=False,
)
class NeuronSelectivity(DistillationLoss):
    """Matches the distributions of what the neurons (channels) of two layers respond to.

    Each channel's map is one sample of a distribution; the loss is the maximum mean discrepancy
    of student's and teacher's under a polynomial kernel. Numbers and order of channels are free, so
    it needs no projector and owns no weights. Use it together with `SoftTargets`, on the last
    maps.

    Reference:
        Z. Huang, N. Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer",
        2017, arXiv:1707.01219.

    With s_i, t_j the channels' maps, flat and of norm 1, and `k(a, b) = (a·b + c)²`, per sample:

        paper        L = mean_ii' k(s_i, s_i') − 2 mean_ij k(s_i, t_j) + mean_jj' k(t_j, t_j')
        reference    L = mean_ii' k(s_i, s_i') − 2 mean_ij k(s_i, t_j)

    The paper's is >= 0 and 0 for equal patterns. The reference's (the authors' MXNet code) is
    smaller by the teacher's own term, which lies in (0, (1 + c)²] unless the teacher is silent; so
    it can be below 0. It divides by `√(Σ x² + 1e-10)`, the paper's by the norm. Up to that epsilon
    the gradients are equal, and the published weight 50 holds for both.

    Args:
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        constant: c, >= 0. Published: 0.
        variant: `"paper"`, the default, or `"reference"`, see above.
        weight: weight of the loss, a number or a schedule of the step. `None`: the published 50.
        **kwargs: `pre_activation`, `stage` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's maps.
        student: the student's maps.

    Input shape:
        Two maps `(batch, height, width, channels)` of known sizes. Where sizes differ the larger
        map is pooled (adaptive average), each axis by itself, as in RepDistiller.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for features that are no maps or of unknown size, for lists of taps, for a
            negative constant and for an unknown variant.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import NeuronSelectivity

    teacher = np.random.default_rng(0).random((2, 4, 4, 16))
    student = np.random.default_rng(1).random((2, 8, 8, 6))
    per_sample = NeuronSelectivity()(teacher, student)  # shape (2,)
    ```

    Differences from the paper: none in the value. `mean (a·b)²` is computed from Gram matrices, of
    channels x channels or of positions x positions, whichever are smaller; no array of
    batch x channels x channels x positions is made. A channel that is 0 everywhere has the
    pattern 0. The authors' code sums over the batch; here it is the mean, as for all losses.
    """

    def __init__(
        self,
        teacher_tap="stage3",
        student_tap="stage3",
        constant=0.0,
        variant="paper",
        weight=None,
        **kwargs,
    ):
        check_choice("variant", variant, PUBLISHED_WEIGHTS)
        weight = PUBLISHED_WEIGHTS[variant] if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        self.constant = check_number("constant", constant, inclusive=True)
        self.variant = variant

    def build(self, teacher_shape, student_shape):
        """Check that both are maps."""
        check_maps("NeuronSelectivity", teacher_shape, student_shape)

    def call(self, teacher, student):
        """The loss of each sample."""
        return neuron_selectivity(teacher, student, self.constant, self.variant)

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (student_shape[0],)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "constant": self.constant, "variant": self.variant}
