"""Factor transfer: the student's translated factor imitates the teacher's paraphrased one."""

from keras import ops

from kzoo.losses._arguments import MAPS, check_choice, check_number, check_one_pair, check_ranks
from kzoo.losses._base import DistillationLoss
from kzoo.losses._connector import at_one_size
from kzoo.losses._factor_networks import Convolutions, Paraphraser
from kzoo.losses._features import flat, frozen, single, unit
from kzoo.registry import register

PUBLISHED_WEIGHTS = {"paper": 500.0, "reference": 200.0}


def factor_transfer(teacher, student, variant="paper"):
    """Mean absolute difference of normalised factors.

    Args:
        teacher: the teacher's factor, `(batch, height, width, channels)`. No gradient flows to it.
        student: the student's factor. A factor of another size meets it at the smaller size by
            average pooling.
        variant: `"paper"` compares the whole factors, each divided by its norm over all elements;
            `"reference"` their squares averaged over the channels, divided by their norm.

    Returns:
        One value per sample, float32, `(batch,)`: the mean over the elements compared.

    Raises:
        ValueError: for what are no maps, for unlike channels in the paper's variant, and for an
            unknown variant.
    """
    check_choice("variant", variant, PUBLISHED_WEIGHTS)
    check_ranks("FactorTransfer", teacher.shape, student.shape, (4,), MAPS)
    if variant == "paper" and teacher.shape[-1] != student.shape[-1]:
        raise ValueError(
            "Factors must have equally many channels; give both networks the teacher's times "
            f"`rate`. Received: teacher {tuple(teacher.shape)}, student {tuple(student.shape)}"
        )
    teacher, student = at_one_size(frozen(teacher), single(student))
    if variant == "reference":
        teacher, student = (ops.mean(ops.square(f), axis=-1) for f in (teacher, student))
    return ops.mean(ops.abs(unit(flat(teacher)) - unit(flat(student))), axis=-1)


@register(
    "loss",
    paper="arXiv:1802.04977",
    aliases=("FT",),
    tiny={"args": {}, "teacher_shape": (2, 4, 6, 5), "student_shape": (2, 3, 5, 3)},
    xfail={
        "function_equals_class": "the class compares what its networks make of the features, the "
        "function compares factors",
        "projector_gradients": "the paraphraser learns in pretrain_call alone",
    },
    per_sample=True,
    zero_at_equal=True,
    logits=False,
)
class FactorTransfer(DistillationLoss):
    """Compares factors: an autoencoder's code of the teacher's map, a translation of the student's.

    For pairs of unlike design, where the maps themselves should not be matched. It needs two
    stages: `Distiller.pretrain` trains the paraphraser on the teacher's map, `fit` the
    translator with the student; so `stage` is `"both"` here.

    Reference:
        J. Kim, S. Park, N. Kwak, "Paraphrasing Complex Network: Network Compression via Factor
        Transfer", NeurIPS 2018, arXiv:1802.04977.

    The paraphraser is three 3 x 3 convolutions to k times the channels, its decoder mirrors them;
    the translator is three such convolutions. Each is followed by a leaky ReLU of slope 0.1. With
    the factors F_t = encoder(teacher), F_s = translator(student), flattened:

        pretrain   mean(|decoder(F_t) − teacher|)
        fit        mean(|F_t / ‖F_t‖ − F_s / ‖F_s‖|)

    `variant="paper"` is this, as in the official code. `variant="reference"` is RepDistiller's:

        pretrain   mean((decoder(F_t) − teacher)²)
        fit        mean(|A(F_t) − A(F_s)|)        A(F) = G / ‖G‖,  G = mean over channels of F²

    with batch normalisation in the translator. A map of c·k channels has c·k times the elements of
    its A, so the paper's value is smaller by about √(c·k).

    Args:
        teacher_tap: the teacher's tap, published: its last map.
        student_tap: the student's tap.
        rate: k, the channels of the factors by those of the teacher's map, > 0.
        variant: `"paper"`, the default, or `"reference"`, see above.
        weight: weight of the loss, a number or a schedule of the step. `None`: 500 in the paper's
            variant, 200 in the reference's.
        **kwargs: `stage`, `pre_activation` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's map. The paraphraser reads it at inference, without gradient.
        student: the student's map.
        training: whether the translator's batch normalisation uses the statistics of the batch.

    Input shape:
        Two maps `(batch, height, width, channels)`. Where the sizes of the factors differ, the
        larger one is averaged to the smaller.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for what are no maps, for a rate that leaves no channel, or for an unknown
            variant.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import FactorTransfer

    teacher = np.random.default_rng(0).normal(size=(2, 4, 4, 16)).astype("float32")
    student = np.ones((2, 4, 4, 8), "float32")
    loss = FactorTransfer("stage3", "stage3")
    per_sample = loss(teacher, student)  # shape (2,), of two factors with 8 channels
    reconstruction = loss.pretrain_call(teacher, student, training=True)  # shape (2,)
    ```

    Differences from the paper: it writes a p-norm and uses p = 1; the official code, followed
    here, takes the mean of the absolute differences. Maps of unlike sizes are pooled as in
    RepDistiller, in both variants. The decoder ends in its activation, as in both codes.
    """

    def __init__(
        self,
        teacher_tap="stage3",
        student_tap="stage3",
        rate=0.5,
        variant="paper",
        weight=None,
        **kwargs,
    ):
        check_choice("variant", variant, PUBLISHED_WEIGHTS)
        weight = PUBLISHED_WEIGHTS[variant] if weight is None else weight
        kwargs.setdefault("stage", "both")
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        self.rate = check_number("rate", rate)
        self.variant = variant
        self._paraphraser = self._translator = None

    def build(self, teacher_shape, student_shape):
        """Make both networks."""
        check_ranks("FactorTransfer", teacher_shape, student_shape, (4,), MAPS)
        channels = int(teacher_shape[-1] * self.rate)
        if channels < 1:
            raise ValueError(
                f"`rate` must leave one channel at least. Received: rate={self.rate} of "
                f"{teacher_shape[-1]} channels"
            )
        same = {"dtype": self.dtype_policy}
        self._paraphraser = Paraphraser(teacher_shape[-1], channels, name="paraphraser", **same)
        self._translator = Convolutions(
            [student_shape[-1], channels, channels],
            normalize=self.variant == "reference",
            name="translator",
            **same,
        )
        self._paraphraser.build(tuple(teacher_shape))
        self._translator.build(tuple(student_shape))

    def call(self, teacher, student, training=None):
        """The loss of each sample."""
        factor = self._paraphraser.encoder(teacher, training=False)
        translated = self._translator(student, training=training)
        return factor_transfer(factor, translated, self.variant)

    def pretrain_call(self, teacher, student, training=None):
        """How badly the paraphraser reconstructs the teacher's map, per sample."""
        if not self.built:
            self.build(teacher.shape, student.shape)
        teacher = frozen(teacher)
        difference = single(self._paraphraser(teacher, training=training)) - teacher
        size = ops.abs if self.variant == "paper" else ops.square
        return ops.mean(size(difference), axis=(1, 2, 3))

    @property
    def pretrain_variables(self):
        """Those of the paraphraser."""
        return self._paraphraser.trainable_variables

    @property
    def fit_variables(self):
        """Those of the translator."""
        return self._translator.trainable_variables

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (student_shape[0],)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "variant": self.variant}
