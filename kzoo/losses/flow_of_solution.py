"""Flow of solution procedure: how a network gets from one stage to the next."""

import itertools

from keras import ops

from kzoo.losses._arguments import check_choice
from kzoo.losses._connector import ConnectedLoss
from kzoo.losses._features import frozen, pairs, shape_pairs, single, smaller
from kzoo.losses._shapes import check_maps
from kzoo.registry import register

VARIANTS = ("paper", "reference")


def flow_of_solution(teacher, student, variant="paper"):
    """Squared distance of the flow matrices of consecutive maps, summed over the steps.

    Args:
        teacher: the teacher's maps, a list of at least two tensors `(batch, height, width,
            channels)`. No gradient flows to them.
        student: the student's maps, as many, with the same channels; sizes may differ.
        variant: `"paper"`: maximum pooling and the sum of the squares; `"reference"`: average
            pooling and their mean.

    Returns:
        One value per sample, float32, `(batch,)`.

    Raises:
        ValueError: for fewer than two maps, for other channels and for an unknown variant.
    """
    check_choice("variant", variant, VARIANTS)
    _check([(t.shape, s.shape) for t, s in pairs(teacher, student)])
    teacher_flows = _flows([frozen(maps) for maps in teacher], variant)
    student_flows = _flows([single(maps) for maps in student], variant)
    reduce = ops.sum if variant == "paper" else ops.mean
    steps = zip(teacher_flows, student_flows, strict=True)
    return sum(reduce(ops.square(s - t), axis=(1, 2)) for t, s in steps)


def _flows(features, variant):
    """For each two consecutive maps the mean over positions of the products of their channels."""
    mode = "max" if variant == "paper" else "average"
    flows = []
    for lower, upper in itertools.pairwise(features):
        lower, upper = smaller(lower, upper, mode)
        positions = lower.shape[1] * lower.shape[2]
        lower = ops.reshape(lower, (-1, positions, lower.shape[3]))
        upper = ops.reshape(upper, (-1, positions, upper.shape[3]))
        flows.append(ops.matmul(ops.swapaxes(lower, 1, 2), upper) / positions)
    return flows


def _check(shapes, channels=True):
    if len(shapes) < 2:
        raise ValueError(
            "FlowOfSolution relates consecutive maps and needs at least two of each model. "
            f"Received: {len(shapes)}. Name more taps, for example ['stage1', 'stage2']."
        )
    for teacher, student in shapes:
        check_maps("FlowOfSolution", teacher, student)
    found = [[shape[-1] for shape in side] for side in zip(*shapes, strict=True)]
    if channels and found[0] != found[1]:
        raise ValueError(
            "FlowOfSolution compares matrices of channels x channels, so teacher and student must "
            f"have equal channels at each tap. Received: teacher {found[0]}, student "
            f"{found[1]}. Choose other taps, or projector='connector'."
        )


@register(
    "loss",
    paper="10.1109/CVPR.2017.754",
    aliases=("FSP",),
    tiny={
        "args": {"teacher_tap": ["a", "b"], "student_tap": ["a", "b"]},
        "teacher_shape": [(4, 5, 4, 3), (4, 3, 2, 4)],
        "student_shape": [(4, 8, 6, 3), (4, 4, 3, 4)],
    },
    per_sample=True,
    zero_at_equal=True,
    logits=False,
)
class FlowOfSolution(ConnectedLoss):
    """Teaches how the features of one stage go with those of the next.

    For a student that has fewer layers than its teacher but the same widths, for example ResNet-8
    of ResNet-26. It owns no weights unless it is given connectors. It was published as an
    initialisation, in two stages: the flows alone, with `stage="pretrain"`, then the labels
    alone, without any distillation.

    Reference:
        J. Yim, D. Joo, J. Bae, J. Kim, "A Gift from Knowledge Distillation: Fast Optimization,
        Network Minimization and Transfer Learning", CVPR 2017, doi:10.1109/CVPR.2017.754.

    With maps f_1, ..., f_n of a model, one row per position, the larger of each two pooled to the
    smaller's h x w, per sample:

        G_i = f_iᵀ f_{i+1} / (h w)

        paper        L = Σ_i ‖G_i(student) − G_i(teacher)‖²_F          maximum pooling
        reference    L = Σ_i mean (G_i(student) − G_i(teacher))²       average pooling

    For maps of equal size the paper's value is channels x channels times the reference's, 2048 for
    32 and 64; pooling adds to that, since maxima are larger than means.

    Args:
        teacher_tap: a list of at least two taps, in order. Consecutive ones make a pair.
        student_tap: the same for the student, as many.
        variant: `"paper"`, the default, or `"reference"` (RepDistiller), see above.
        projector: `None`, as published: the channels must agree; `"connector"` puts a 1 x 1
            convolution with batch normalisation before each map of the student that has other
            channels than the teacher's; or a list with a choice or a layer for each tap.
        weight: weight of the loss, a number or a schedule of the step. `None`: 1, as RepDistiller
            has it in the first stage; of the paper no weight is known. The paper's sums are large:
            beside a task loss try 1e-3.
        **kwargs: `stage` (published: `"pretrain"`), `pre_activation` and those of
            `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's maps, a list.
        student: the student's maps, a list of as many.

    Input shape:
        Two lists of `(batch, height, width, channels)`, of known sizes. Channels must agree between
        teacher and student where there is no connector, sizes need not.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for fewer than two taps or maps, for features that are no maps or of unknown
            size, for other channels than the teacher's and for an unknown variant.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import FlowOfSolution

    teacher = [np.ones((2, 8, 8, 4)), np.ones((2, 4, 4, 8))]
    student = [np.zeros((2, 8, 8, 4)), np.zeros((2, 4, 4, 8))]
    loss = FlowOfSolution(["stage1", "stage2"], ["stage1", "stage2"], stage="pretrain")
    per_sample = loss(teacher, student)  # shape (2,): 4 x 8 squares of 1
    ```

    Differences from the paper: it relates the first and the last layer of each stage
    (unconfirmed); here the ends of consecutive stages, as in RepDistiller, or whatever the taps
    name. Its weights λ_i of the pairs are taken as equal and left to `weight`. RepDistiller
    trains with this loss alone in its first 30 epochs, so its listed weight of 50 goes unused; it
    taps the stem too.
    """

    connects_equal_channels = False

    def __init__(
        self,
        teacher_tap=("stage1", "stage2", "stage3"),
        student_tap=("stage1", "stage2", "stage3"),
        variant="paper",
        projector=None,
        weight=None,
        **kwargs,
    ):
        check_choice("variant", variant, VARIANTS)
        weight = 1.0 if weight is None else weight
        kwargs.setdefault("pre_activation", False)
        super().__init__(teacher_tap, student_tap, projector, weight=weight, **kwargs)
        if isinstance(teacher_tap, str) or isinstance(student_tap, str) or len(teacher_tap) < 2:
            raise ValueError(
                "FlowOfSolution relates consecutive maps: `teacher_tap` and `student_tap` must be "
                "lists of at least two names. Received: "
                f"teacher_tap={teacher_tap!r}, student_tap={student_tap!r}"
            )
        self.variant = variant

    def build(self, teacher_shape, student_shape):
        """Check that all are maps, and make the connectors that were asked for."""
        shapes = shape_pairs(teacher_shape, student_shape)
        _check(shapes, channels=self.projector is None)
        super().build(teacher_shape, student_shape)

    def call(self, teacher, student, training=None):
        """The loss of each sample."""
        return flow_of_solution(teacher, self.connect(student, training), self.variant)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "variant": self.variant}
