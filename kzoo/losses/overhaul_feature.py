"""The overhaul of feature distillation: margin ReLU and a partial distance."""

import math

import numpy as np
from keras import initializers, ops

from kzoo.losses._arguments import check_number
from kzoo.losses._connector import ConnectedLoss, weighted_sum
from kzoo.losses._features import pairs, shape_pairs
from kzoo.registry import register
from kzoo.taps import normalization_before

PUBLISHED_WEIGHT = 0.001
STANDARD_MARGIN = -math.sqrt(2 / math.pi)


def overhaul_feature(teacher, student, margins=None):
    """Squared distance to the teacher's margin ReLU, where it is positive or the student above it.

    Args:
        teacher: the teacher's maps before their activation, `(batch, height, width, channels)`, or
            a list of them from the shallowest to the deepest. No gradient flows to them.
        student: the student's, with as many channels. Maps of other sizes meet at the smaller
            size by average pooling.
        margins: a list with one entry per map, a number or one per channel. `None`: −√(2/π), the
            mean of the negative half of a standard normal.

    Returns:
        One value per sample, float32, `(batch,)`: the sum over the map; of a list the sum over the
        maps, of which the last counts once and each earlier one half of the next.

    Raises:
        ValueError: for what are no maps of equally many channels, or for other numbers of
            margins.
    """
    count = len(pairs(teacher, student))
    margins = [STANDARD_MARGIN] * count if margins is None else list(margins)
    _check_count(margins, count)

    def elements(index, t, s):
        target = ops.maximum(t, ops.convert_to_tensor(margins[index], "float32"))
        free = ops.logical_and(s <= target, target <= 0)
        return ops.where(free, 0.0, ops.square(target - s))

    return weighted_sum("OverhaulFeature", teacher, student, elements)


def margin_from_normalization(gamma, beta):
    """The expected negative response of each channel of a batch normalisation.

    A channel is taken as normal with mean β and deviation |γ|. Its margin is the mean of the part
    below 0, `β − |γ| φ(β/γ) / Φ(−β/|γ|)`; where that part is less than a thousandth, `−3|γ|`.

    Args:
        gamma: the scale, one number per channel.
        beta: the offset.

    Returns:
        The margins, float32, none above 0.
    """
    margins = []
    for scale, offset in zip(np.abs(gamma).tolist(), np.asarray(beta).tolist(), strict=True):
        if scale == 0:
            margins.append(min(offset, 0.0))
            continue
        ratio = offset / scale
        below = math.erfc(ratio / math.sqrt(2)) / 2
        density = math.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
        margins.append(offset - scale * density / below if below > 0.001 else -3 * scale)
    return np.array(margins, "float32")


@register(
    "loss",
    paper="arXiv:1904.01866",
    aliases=("OFD",),
    tiny={
        "args": {
            "teacher_tap": ["stage1", "stage2"],
            "student_tap": ["stage1", "stage2"],
            "margins": [-0.5, [-0.1, -0.2, -0.3, -0.4, -3.0]],
        },
        "teacher_shape": [(2, 4, 6, 3), (2, 2, 3, 5)],
        "student_shape": [(2, 4, 6, 3), (2, 3, 5, 2)],
    },
    per_sample=True,
    zero_at_equal=False,
    logits=False,
)
class OverhaulFeature(ConnectedLoss):
    """Distils maps before the ReLU, and leaves alone what the ReLU would cut off anyway.

    A strong feature loss between networks with batch normalisation, in one stage with the task
    loss. Positive responses are matched; negative ones only have to be low enough.

    Reference:
        B. Heo, J. Kim, S. Yun, H. Park, N. Kwak, J. Y. Choi, "A Comprehensive Overhaul of Feature
        Distillation", ICCV 2019, arXiv:1904.01866.

    With the connector r, s = r(student) and t = max(teacher, m), both before the activation, summed
    over the map:

        L = Σ (t − s)²  [not s <= t <= 0]

    Of several pairs the deepest counts 1, those before it 1/2, 1/4, ... The margin m of a channel
    is the expected negative response, from the β and γ of the teacher's batch normalisation before
    the tap (`kzoo.taps.normalization_before`):

        m = β − |γ| φ(β/γ) / Φ(−β/|γ|)        −3|γ| where Φ(−β/|γ|) <= 0.001

    A trainer hands the teacher to `prepare` before it builds the loss. Where nobody did, m is that
    of a standard normal, −√(2/π).

    Args:
        teacher_tap: a name or a list of names, from the shallowest to the deepest. In a
            pre-activation network name the batch normalisations themselves.
        student_tap: the same of the student.
        projector: `"connector"` makes r: a 1 x 1 convolution and batch normalisation per pair;
            `None` for none; a layer of your own for one pair; or a list of these, one per pair.
        margins: a list with one entry per pair, a number or a list of one per channel, none
            above 0. `None`: from the teacher.
        weight: weight of the loss, a number or a schedule of the step. `None`: the published
            0.001.
        **kwargs: `stage`, `pre_activation` (`True`, as the method wants it) and those of
            `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's map, or a list of maps.
        student: the student's, in the same structure.
        training: whether the connectors' batch normalisation uses the statistics of the batch.

    Input shape:
        Maps `(batch, height, width, channels)`. Where the sizes of a pair differ, the larger one
        is averaged to the smaller.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for what are no maps, for channels that differ after the projector, for bad
            margins, and in `prepare` where the teacher has no batch normalisation before a tap.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import OverhaulFeature

    teacher = np.full((2, 4, 4, 8), -5.0, "float32")
    student = np.full((2, 4, 4, 8), -2.0, "float32")
    loss = OverhaulFeature("stage3", "stage3", projector=None, margins=[-1.0])
    loss(teacher, student)  # [0, 0]: −2 is below the margin of −1
    ```

    Differences from the paper: it runs the teacher's batch normalisation on the statistics of the
    batch, on purpose; that is an option of the trainer. It has no case for maps of unlike sizes.
    A channel with γ = 0 gets min(β, 0), where the official code divides by zero.
    """

    def __init__(
        self,
        teacher_tap=("stage1", "stage2", "stage3"),
        student_tap=("stage1", "stage2", "stage3"),
        projector="connector",
        margins=None,
        weight=None,
        **kwargs,
    ):
        weight = PUBLISHED_WEIGHT if weight is None else weight
        super().__init__(teacher_tap, student_tap, projector, weight=weight, **kwargs)
        self.margins = _check_margins(margins, len(self.teacher_taps))
        self._from_teacher = None
        self._margin_weights = []

    def prepare(self, teacher, student):
        """Take the margins from the teacher's batch normalisations, unless they were given."""
        if self.margins is None:
            self._from_teacher = [self._margin(teacher, tap) for tap in self.teacher_taps]
            for weight, values in zip(self._margin_weights, self._from_teacher, strict=False):
                weight.assign(values)

    def _margin(self, teacher, tap):
        found = None
        if teacher is not None:
            found = normalization_before(teacher, tap, pre_activation=self.pre_activation)
        if found is None:
            what = "without the teacher itself" if teacher is None else f"before the tap {tap!r}"
            raise ValueError(
                f"OverhaulFeature finds no batch normalisation {what} to take margins from. "
                "Name one as `teacher_tap`, or give `margins=`, one per tap, for example "
                f"margins={[-1.0] * len(self.teacher_taps)}"
            )
        width = found.moving_mean.shape[0]
        gamma = np.ones(width) if found.gamma is None else ops.convert_to_numpy(found.gamma)
        beta = np.zeros(width) if found.beta is None else ops.convert_to_numpy(found.beta)
        return margin_from_normalization(gamma, beta)

    def build(self, teacher_shape, student_shape):
        """Make the connectors and hold the margins as weights, which are saved."""
        super().build(teacher_shape, student_shape)
        shapes = [teacher for teacher, _ in shape_pairs(teacher_shape, student_shape)]
        margins = self.margins or self._from_teacher or [STANDARD_MARGIN] * len(shapes)
        self._margin_weights = [
            self.add_weight(
                name=f"margin_{index}",
                shape=(shape[-1],),
                initializer=initializers.Constant(_per_channel(margin, shape[-1])),
                trainable=False,
            )
            for index, (shape, margin) in enumerate(zip(shapes, margins, strict=True))
        ]

    def call(self, teacher, student, training=None):
        """The loss of each sample."""
        return overhaul_feature(teacher, self.connect(student, training), self._margin_weights)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "margins": self.margins}


def _check_count(margins, count):
    if len(margins) != count:
        raise ValueError(
            f"`margins` must have one entry per pair of maps, {count}. Received: {len(margins)}"
        )


def _check_margins(margins, count):
    """The margins as plain lists of numbers."""
    if margins is None:
        return None
    _check_count(margins, count)
    margins = [np.asarray(margin, "float64").tolist() for margin in margins]
    for margin in margins:
        for number in margin if isinstance(margin, list) else [margin]:
            check_number("margins", number, low=-math.inf, high=0.0, inclusive=True)
    return margins


def _per_channel(margin, channels):
    values = np.asarray(margin, "float32")
    if values.shape not in ((), (channels,)):
        raise ValueError(
            f"A margin must be a number or one per channel of the teacher, {channels}. "
            f"Received: {values.shape[0]} numbers"
        )
    return values
