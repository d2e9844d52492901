"""Contrastive representation: of all samples' embeddings the student finds the one of its own."""

import keras
import numpy as np
from keras import ops

from kzoo.losses._arguments import check_integer, check_number, check_one_pair
from kzoo.losses._base import DistillationLoss
from kzoo.losses._contrast_memory import ContrastMemory, choose, compare, mean_power
from kzoo.losses._embedding import embedding
from kzoo.losses._features import flat, frozen, single, unit
from kzoo.losses._shapes import check_features
from kzoo.losses._told import told_integers
from kzoo.registry import register

PUBLISHED_WEIGHT = 0.8
_LOWEST_TEMPERATURE = 0.02  # exp(1 / τ), times the number of samples, must fit float32.


def contrastive_representation(
    teacher, student, negatives, num_samples, temperature=0.07, normalizer=None, mask=None
):
    """Noise-contrastive loss of one side: to tell the own embedding from those of others.

    The method adds two of these: the student's embedding against the memory of the teacher's, and
    the reverse. `teacher` is what is remembered, `student` what is trained; of unit length.

    Args:
        teacher: the remembered embedding of the same sample by the other model,
            `(batch, size)`. No gradient flows to it.
        student: the embedding of the sample, `(batch, size)`.
        negatives: inner products of the student's embedding with k remembered embeddings of
            other classes, `(batch, k)`.
        num_samples: n, the number of samples of the data set.
        temperature: τ, > 0.
        normalizer: Z, a number or a scalar tensor; `None` for n, its value if all inner
            products were zero.
        mask: which of the negatives count, booleans `(batch, k)`; `None` for all. Then k
            is how many count, for each sample.

    Returns:
        One value per sample, float32, `(batch,)`.

    Raises:
        ValueError: for unlike embeddings, negatives that are no matrix, or bad numbers.
    """
    check_number("temperature", temperature)
    check_integer("num_samples", num_samples)
    _check_embeddings(teacher.shape, student.shape, negatives.shape)
    normalizer = ops.cast(num_samples if normalizer is None else normalizer, "float32")
    own = ops.sum(frozen(teacher) * single(student), axis=-1) / temperature
    other = single(negatives) / temperature
    kept = ops.cast(ops.ones_like(other) if mask is None else mask, "float32")
    count = ops.maximum(ops.sum(kept, axis=-1), 1.0)
    # h / (h + k/n) is the sigmoid of log h − log(k/n), with h = exp(a·b/τ) / Z.
    bias = ops.log(ops.stop_gradient(normalizer)) + ops.log(count / num_samples)
    rejected = ops.sum(kept * ops.softplus(other - bias[:, None]), axis=-1)
    return ops.softplus(bias - own) + rejected


@register(
    "loss",
    paper="arXiv:1910.10699",
    aliases=("CRD",),
    tiny={
        "args": {"num_samples": 6, "embedding_size": 3},
        "teacher_shape": (4, 5),
        "student_shape": (4, 3),
        "context": {
            "labels": np.array([0, 1, 2, 0], "int32"),
            "sample_index": np.array([4, 0, 5, 2], "int32"),
            "negatives": np.cos(np.arange(20, dtype="float32")).reshape(4, 5),
        },
    },
    xfail={"function_equals_class": "the class embeds the features and adds the two sides"},
    per_sample=True,
    zero_at_equal=False,
    logits=False,
)
class ContrastiveRepresentation(DistillationLoss):
    """Makes the student's embedding of a sample tell it from the samples of other classes.

    One of the few that beat plain `SoftTargets` alone in RepDistiller's comparison. It needs two
    classes or more, the number of each sample in the data set, and a memory of
    2 · num_samples · embedding_size floats (1.2 GiB for ImageNet).

    Reference:
        Y. Tian, D. Krishnan, P. Isola, "Contrastive Representation Distillation", ICLR 2020,
        arXiv:1910.10699.

    With a trained dense layer and L2 normalisation for each model (v_s, v_t), a memory of
    each, and k negatives j of other classes than sample i:

        h(a, b) = exp(a·b / τ) / Z
        L_s = − log[h⁺ / (h⁺ + k/n)] − Σ_j log[(k/n) / (h_j + k/n)]
        h⁺ = h(v_s, m_t[i]),  h_j = h(v_s, m_t[j])
        L = L_s + L_t, with L_t the same for the models exchanged
        m[i] ← unit(momentum · m[i] + (1 − momentum) · v)

    Z, one a side, is n times the mean of exp(a·b / τ) in the first training batch. Only
    `training=True` changes memory and Z, after the value was computed.

    Args:
        num_samples: n, the number of samples of the training set.
        teacher_tap: the teacher's tap.
        student_tap: the student's tap.
        embedding_size: units of both embeddings.
        num_negatives: k. They are drawn anew for each sample and call, with replacement. `None`,
            or n and more: all samples of other classes serve.
        temperature: τ, >= 0.02 so that exp(1/τ) fits float32.
        momentum: how much of the memory stays when a sample is seen, in [0, 1].
        seed: an integer reproduces the negatives and the first memory.
        weight: weight of the loss, a number or a schedule of the step. `None`: 0.8, as published.
        **kwargs: `pre_activation`, `stage` and those of `keras.layers.Layer`.

    Call arguments:
        teacher: the teacher's feature.
        student: the student's feature.
        labels: the class of each sample, integers >= 0, `(batch,)` or `(batch, 1)`.
        sample_index: the number of each sample in the data set, alike. One outside of 0 to
            n − 1 makes the value of its sample NaN, since a graph cannot raise.
        training: whether memory and Z are updated.

    Input shape:
        Two features `(batch, ...)` of any size; maps are flattened.

    Output shape:
        `(batch,)`: one value per sample, so sample weights apply.

    Raises:
        ValueError: for features of unknown size, missing or bad labels or indices, lists of
            taps, or bad arguments.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import ContrastiveRepresentation

    loss = ContrastiveRepresentation(num_samples=100, num_negatives=16, seed=0)
    per_sample = loss(
        np.random.rand(4, 64).astype("float32"),
        np.random.rand(4, 16).astype("float32"),
        labels=np.array([0, 1, 2, 1]),
        sample_index=np.array([17, 3, 99, 42]),
        training=True,
    )  # shape (4,)
    ```

    Differences from the paper: the class of a sample is learnt as it is seen; one never seen counts
    as a negative of every class. A sample that is twice in a batch updates the memory once, by
    its first place. The authors add 1e-7 to each denominator. Under replicas all compare to one
    memory, which the samples of the first replica update.
    """

    def __init__(
        self,
        num_samples,
        teacher_tap="pooled",
        student_tap="pooled",
        embedding_size=128,
        num_negatives=16384,
        temperature=0.07,
        momentum=0.5,
        seed=None,
        weight=None,
        **kwargs,
    ):
        weight = PUBLISHED_WEIGHT if weight is None else weight
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, weight=weight, **kwargs)
        check_one_pair(self, teacher_tap)
        self.num_samples = check_integer("num_samples", num_samples, low=2)
        self.embedding_size = check_integer("embedding_size", embedding_size)
        if num_negatives is not None:
            check_integer("num_negatives", num_negatives)
        self.num_negatives = num_negatives
        self.temperature = check_number("temperature", temperature, _LOWEST_TEMPERATURE, 1e4, True)
        self.momentum = check_number("momentum", momentum, high=1.0, inclusive=True)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, teacher_shape, student_shape):
        """Make the embeddings and the memory."""
        check_features("ContrastiveRepresentation", teacher_shape, student_shape)
        settings = self.embedding_size, self.dtype_policy
        self.teacher_embedding = embedding("teacher_embedding", teacher_shape, *settings)
        self.student_embedding = embedding("student_embedding", student_shape, *settings)
        memory = self.num_samples, self.embedding_size, self.momentum, self.seed_generator
        self.memory = ContrastMemory(*memory, dtype=self.dtype_policy, name="memory")
        self.memory.build()

    def call(self, teacher, student, labels=None, sample_index=None, training=None):
        """The loss of each sample."""
        told = "ContrastiveRepresentation", student.shape[0]
        labels = told_integers(*told, "labels", labels)
        index = told_integers(*told, "sample_index", sample_index)
        inside = ops.logical_and(index >= 0, index < self.num_samples)
        index = ops.clip(index, 0, self.num_samples - 1)
        teacher = unit(self.teacher_embedding(flat(frozen(teacher))))
        student = unit(self.student_embedding(flat(single(student))))
        classes = self.memory.classes(index, inside, labels)
        chosen = choose(classes, labels, self.num_negatives, self.seed_generator)
        memory, told = self.memory, (index, *chosen)
        teacher_z, student_z = memory.teacher_normalizer, memory.student_normalizer
        of_teacher, teacher_z = self._side(teacher, memory.student_bank, teacher_z, *told)
        of_student, student_z = self._side(student, memory.teacher_bank, student_z, *told)
        if training:
            memory.update(index, inside, classes, (teacher, teacher_z), (student, student_z))
        return ops.where(inside, of_teacher + of_student, float("nan"))

    def _side(self, embedding, bank, normalizer, index, drawn, mask):
        """Loss of one model's embedding against the other's memory, and this side's Z."""
        own, negatives = compare(embedding, bank, index, drawn)
        products = ops.sum(own * embedding, axis=-1)
        fresh = self.num_samples * mean_power(products, negatives, mask, self.temperature)
        normalizer = ops.convert_to_tensor(normalizer)
        normalizer = ops.where(normalizer > 0, normalizer, fresh)
        settings = self.num_samples, self.temperature, normalizer, mask
        return contrastive_representation(own, embedding, negatives, *settings), normalizer

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (student_shape[0],)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_samples": self.num_samples,
            "embedding_size": self.embedding_size,
            "num_negatives": self.num_negatives,
            "temperature": self.temperature,
            "momentum": self.momentum,
            "seed": self.seed,
        }


def _check_embeddings(teacher_shape, student_shape, negatives_shape):
    matrices = len(student_shape) == len(negatives_shape) == 2
    batches = {student_shape[0], negatives_shape[0]} - {None} if matrices else {}
    if not matrices or teacher_shape != student_shape or len(batches) > 1:
        raise ValueError(
            "ContrastiveRepresentation compares embeddings (batch, size) of both models, with "
            f"negatives (batch, k). Received: teacher {tuple(teacher_shape)}, student "
            f"{tuple(student_shape)}, negatives {tuple(negatives_shape)}."
        )
