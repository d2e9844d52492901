"""Activation boundaries: the student's neurons fire where the teacher's do."""

from keras import ops

from kzoo.losses._arguments import check_number
from kzoo.losses._connector import ConnectedLoss, at_one_size, weighted_sum
from kzoo.losses._features import flat, frozen, pairs, single
from kzoo.registry import register

PUBLISHED_WEIGHT = 3 / 1000


def activation_boundary(teacher, student, margin=1.0):
    """Squared distance of the student's pre-activations to the teacher's side of the boundary.

    Args:
        teacher: the teacher's maps before their activation, `(batch, height, width, channels)`, or
            a list of them from the shallowest to the deepest. No gradient flows to them.
        student: the student's, with as many channels. Maps of other sizes meet at the smaller
            size by average pooling.
        margin: how far beyond the boundary the student has to be, > 0.

    Returns:
        One value per sample, float32, `(batch,)`: the sum over the map; of a list the sum over the
        maps, of which the last counts once and each earlier one half of the next.

    Raises:
        ValueError: for what are no maps of equally many channels, or for a margin that is not > 0.
    """
    check_number("margin", margin)

    def elements(_, t, s):
        return ops.square(ops.relu(ops.where(t > 0, margin - s, margin + s)))

    return weighted_sum("ActivationBoundary", teacher, student, elements)


@register(
    "loss",
    paper="arXiv:1811.03233",
    aliases=("AB",),
    tiny={
        "args": {"teacher_tap": ["stage1", "stage2"], "student_tap": ["stage1", "stage2"]},
        "teacher_shape": [(2, 4, 6, 3), (2, 2, 3, 5)],
        "student_shape": [(2, 4, 6, 3), (2, 3, 5, 2)],
    },
    per_sample=True,
    zero_at_equal=False,
    logits=False,
)
class ActivationBoundary(ConnectedLoss):
    """Makes the student's neurons active where the teacher's are, whatever their values.

    Published as a first stage, `stage="pretrain"`: it initialises the body of the student, which
    then learns to classify (with or without `SoftTargets`). Joint training also works.

    Reference:
        B. Heo, M. Lee, S. Yun, J. Y. Choi, "Knowledge Transfer via Distillation of Activation
        Boundaries Formed by Hidden Neurons", AAAI 2019, arXiv:1811.03233.

    With the connector r and s = r(student), both before the activation, summed over the map:

        L = Σ (s + m)² [t <= 0 and s > −m]  +  (s − m)² [t > 0 and s <= m]

    Of several pairs the deepest counts 1, those before it 1/2, 1/4, ... The value of m is the
    margin. `diagnostics` gives `sign_disagreement`, the share of neurons on the wrong side.

    Args:
        teacher_tap: a name or a list of names, from the shallowest to the deepest.
        student_tap: the same of the student.
        margin: m, > 0.
        projector: `"connector"` makes r: a 1 x 1 convolution and batch normalisation per pair,
            nothing where the channels are equal; `None` for none; a layer of your own for one
            pair; or a list of these, one per pair.
        weight: weight of the loss, a number or a schedule of the step. `None`: the published
            3/1000.
        **kwargs: `stage` (published: `"pretrain"`), `pre_activation` (`True`, as the method
            wants it) and those of `keras.layers.Layer`.

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
        ValueError: for what are no maps, or for channels that differ after the projector.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import ActivationBoundary

    teacher = np.ones((2, 4, 4, 16), "float32")  # every neuron is active
    student = np.zeros((2, 4, 4, 16), "float32")
    loss = ActivationBoundary("stage3", "stage3")
    loss(teacher, student)  # [256, 256]: 4 * 4 * 16 neurons, each 1 short of the margin
    loss.diagnostics(teacher, student)["sign_disagreement"]  # 1.0
    ```

    Differences from the paper: the official code runs the teacher's batch normalisation on the
    statistics of the batch in the first stage; that is an option of the trainer. It has no case
    for maps of unlike sizes. RepDistiller has the same formula, with connectors made like `Hint`'s.
    """

    connects_equal_channels = False

    def __init__(
        self,
        teacher_tap=("stage1", "stage2", "stage3"),
        student_tap=("stage1", "stage2", "stage3"),
        margin=1.0,
        projector="connector",
        weight=None,
        **kwargs,
    ):
        weight = PUBLISHED_WEIGHT if weight is None else weight
        super().__init__(teacher_tap, student_tap, projector, weight=weight, **kwargs)
        self.margin = check_number("margin", margin)

    def call(self, teacher, student, training=None):
        """The loss of each sample."""
        return activation_boundary(teacher, self.connect(student, training), self.margin)

    def diagnostics(self, teacher, student):
        """The share of neurons that are active in one network and not in the other."""
        unlike = []
        for t, s in pairs(teacher, self.connect(student, training=False)):
            t, s = at_one_size(frozen(t), single(s))
            unlike.append(flat(ops.cast((t > 0) != (s > 0), "float32")))
        return {"sign_disagreement": ops.mean(ops.concatenate(unlike, axis=1))}

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "margin": self.margin}
