"""What contrastive losses remember of a data set, and negatives drawn from it in the graph."""

import math

import keras
from keras import ops

from kzoo.losses._features import unit


class ContrastMemory(keras.layers.Layer):
    """Embeddings by teacher and student of every sample, its class, and the sides' constants Z.

    No weight is trainable; only `update` changes them. Under replicas the samples of the first
    one do.

    Args:
        num_samples: samples of the data set.
        size: size of an embedding.
        momentum: how much of an embedding stays when its sample is seen.
        seed: a `keras.random.SeedGenerator` for the first embeddings.
    """

    def __init__(self, num_samples, size, momentum, seed, **kwargs):
        super().__init__(**kwargs)
        self.num_samples = num_samples
        self.size = size
        self.momentum = momentum
        self.seed_generator = seed

    def build(self, input_shape=None):
        """Create the weights."""
        bound = 1.0 / math.sqrt(self.size / 3.0)
        uniform = keras.initializers.RandomUniform(-bound, bound, seed=self.seed_generator)
        shape = (self.num_samples, self.size)
        self.teacher_bank = self._weight("teacher_bank", shape, uniform)
        self.student_bank = self._weight("student_bank", shape, uniform)
        unknown = keras.initializers.Constant(-1)
        self.bank_labels = self._weight("bank_labels", shape[:1], unknown, dtype="int32")
        # 0: not yet fixed.
        self.teacher_normalizer = self._weight("teacher_normalizer", (), "zeros")
        self.student_normalizer = self._weight("student_normalizer", (), "zeros")

    def _weight(self, name, shape, initializer, dtype="float32"):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=False,
            aggregation="only_first_replica",
        )

    def classes(self, index, inside, labels):
        """The class of every sample, with those of a batch filled in; -1 where unknown.

        Args:
            index: the numbers of the samples, each in the data set.
            inside: false for those whose label is not to be believed.
            labels: of the batch.
        """
        labels = ops.where(inside, labels, ops.take(self.bank_labels, index))
        labels = ops.take(labels, _first_of_equal(index))
        return ops.scatter_update(self.bank_labels, index[:, None], labels)

    def update(self, index, inside, classes, teacher, student):
        """Move the embeddings of a batch to what was just seen.

        Args:
            index: the numbers of the samples, each in the data set.
            inside: false for those which are to be left as they are.
            classes: what `classes` returned.
            teacher: the teacher's embeddings and its constant Z.
            student: the same of the student.
        """
        for bank, embedding in (
            (self.teacher_bank, teacher[0]),
            (self.student_bank, student[0]),
        ):
            before = ops.take(bank, index, axis=0)
            seen = ops.stop_gradient(embedding)
            after = unit(self.momentum * before + (1.0 - self.momentum) * seen)
            after = ops.where(inside[:, None], after, before)
            after = ops.take(after, _first_of_equal(index), axis=0)
            bank.assign(ops.scatter_update(bank, index[:, None], after))
        self.bank_labels.assign(classes)
        self.teacher_normalizer.assign(teacher[1])
        self.student_normalizer.assign(student[1])


def choose(classes, labels, count, seed):
    """The numbers of drawn negatives, `(batch, count)`, or `None` for all; and which count.

    Args:
        classes: the class of every sample, `(samples,)`, int32.
        labels: those of the batch.
        count: how many to draw; all where it is `None` or no less than the samples.
        seed: a `keras.random.SeedGenerator`.
    """
    if count is None or count >= classes.shape[0]:
        return None, ops.not_equal(classes[None], labels[:, None])
    return draw(classes, labels, count, seed), None


def compare(embedding, bank, index, drawn):
    """The own embeddings of a memory, `(batch, size)`, and inner products with the negatives."""
    # A copy: torch would otherwise see the update of the memory on its way back.
    bank = ops.copy(ops.stop_gradient(ops.convert_to_tensor(bank)))
    products = ops.matmul(embedding, ops.transpose(bank))
    if drawn is not None:
        products = ops.take_along_axis(products, drawn, axis=1)
    return ops.take(bank, index, axis=0), products


def draw(known, labels, count, seed):
    """Numbers of samples of other classes, drawn uniformly with replacement.

    Args:
        known: the class of every sample of the data set, `(samples,)`, int32; -1 where it is
            unknown, which counts as another class.
        labels: the classes of the batch, `(batch,)`, int32.
        count: how many to draw for each.
        seed: a `keras.random.SeedGenerator`.

    Returns:
        int32, `(batch, count)`.
    """
    samples = known.shape[0]
    order = ops.cast(ops.argsort(known), "int32")
    ordered = ops.take(known, order)
    begin = ops.cast(ops.searchsorted(ordered, labels, side="left"), "int32")[:, None]
    own = ops.cast(ops.searchsorted(ordered, labels, side="right"), "int32")[:, None] - begin
    places = keras.random.uniform((ops.shape(labels)[0], count), seed=seed)
    others = samples - own
    places = ops.cast(ops.floor(places * ops.cast(others, "float32")), "int32")
    # In float32 a place may round up to one too many; a lone class has no other at all.
    places = ops.clip(ops.minimum(places, others - 1), 0, samples - 1)
    # In the order by class the own class is one block; places from there on lie behind it.
    places = ops.where(places >= begin, places + own, places)
    return ops.take(order, ops.minimum(places, samples - 1))


def mean_power(own, negatives, mask, temperature):
    """Mean of exp(a·b / τ) over own and negative inner products; no gradient flows to it."""
    kept = ops.ones_like(negatives) if mask is None else ops.cast(mask, "float32")
    powers = ops.sum(ops.exp(own / temperature))
    powers = powers + ops.sum(kept * ops.exp(negatives / temperature))
    return ops.stop_gradient(powers / (ops.sum(kept) + ops.sum(ops.ones_like(own))))


def _first_of_equal(index):
    """For each of the batch the first place that holds the same number, `(batch,)`.

    Writing what stands there makes the outcome independent of the order of the writes.
    """
    equal = ops.equal(index[:, None], index[None])
    return ops.argmax(ops.cast(equal, "int32"), axis=-1)
