"""The base of trainers on batches of pairs, one of each in the first half and one in the second."""

import warnings
from typing import ClassVar

import keras
from keras import ops

from kzoo import taps
from kzoo.trainers._batch import Batch
from kzoo.trainers._checks import Schedule, check_weight, weight_at
from kzoo.trainers._configured import Configured
from kzoo.trainers._labels import labels_for
from kzoo.trainers._networks import LOGITS, check_softmax
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers.trainer import Trainer


class HalvesTrainer(Configured, Trainer):
    """A trainer of one model; position i of the first half of a batch goes with i of the second.

    Args:
        model: the model, built or not.
        weights: the arguments that weigh terms, kept as attributes.
        further: taps to read beside outputs and logits.
        **kwargs: those of `keras.Model`.
    """

    # Where such batches come from.
    source = ""
    # Term -> the argument that weighs it.
    weighed_by: ClassVar[dict[str, str]] = {}

    def __init__(self, model, weights, further=(), **kwargs):
        if not isinstance(model, keras.Model):
            raise ValueError(f"`model` must be a keras.Model. Received: model={model!r}")
        for name, weight in weights.items():
            check_weight(name, weight)
        kwargs.setdefault("dtype", model.dtype_policy)
        super().__init__(**kwargs)
        self.model = model
        for name, weight in weights.items():
            setattr(self, name, weight)
        self._further = tuple(further)
        if model.built:
            self._prepare()

    @property
    def student(self):
        """The model."""
        return self.model

    def build(self, input_shape=None):
        """Build the model."""
        if not self.model.built:
            self.model.build(Batch.of(input_shape).inputs)
        self._prepare()

    def _prepare(self):
        if not self.built:
            # Hidden, so that Keras does not track the model a second time.
            self._hidden.read = taps.extractor(
                check_softmax(self.model), [OUTPUTS, LOGITS, *self._further]
            )
            self.built = True

    def call(self, inputs, training=None):
        """The model's output; of any batch."""
        return self.model(Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The model's."""
        return self.model.compute_output_shape(Batch.of(input_shape).inputs)

    def halves(self, value):
        """Both halves of each tensor of a structure; `None` stays `None`.

        Raises:
            ValueError: for an odd number of samples, where it is known; else TensorFlow raises
                `InvalidArgumentError` with the same words when the batch is there.
        """
        sizes = [tensor.shape[0] for tensor in keras.tree.flatten(value) if tensor is not None]
        odd = [size for size in sizes if isinstance(size, int) and size % 2]
        if odd:
            raise ValueError(self._odd(odd[0]))
        if None in sizes:
            value = _checked_when_run(value, self._odd("an odd number"))
        return tuple(_half(value, number) for number in (0, 1))

    def _odd(self, received):
        return (
            f"{type(self).__name__} needs batches of two halves, so of an even number of samples. "
            f"Received: a batch of {received}. Make them with {self.source}."
        )

    def weigh(self, terms):
        """The terms times their weights, without those that are `None` or weigh 0."""
        step = self.optimizer.iterations
        weights = {name: getattr(self, self.weighed_by[name]) for name in terms}
        return {
            name: term * weight_at(weights[name], step)
            for name, term in terms.items()
            if term is not None and weights[name] != 0
        }

    def log_pairs(self, outputs, x, y):
        """Log `same_class`, the share of positions at which both halves have one label."""
        labels = labels_for(outputs, y)
        if labels is not None:
            first, second = self.halves(labels)
            self.log("same_class", ops.cast(first == second, "float32"), x)

    def diagnose(self, logs, ignore=()):
        """Warn about terms that stayed 0 and batches that are no pairs."""
        weights = {term: getattr(self, name) for term, name in self.weighed_by.items()}
        quiet = [term for term, weight in weights.items() if isinstance(weight, Schedule)]
        super().diagnose(logs, (*ignore, *quiet))
        share = logs.get("same_class", 1.0)
        if share < 1.0 - 1e-6:
            warnings.warn(
                f"Only {share:.1%} of the pairs of the first epoch are of one class. "
                f"{type(self).__name__} compares position i of the first half of a batch with "
                f"position i of the second. Make batches with {self.source}; give arrays to `fit` "
                "with `shuffle=False`; and let no distribution strategy cut batches.",
                stacklevel=2,
            )

    def export(self, path, **kwargs):
        """Export the model.

        Args:
            path: where to.
            **kwargs: those of `kzoo.export.export_model`, for example `format`.
        """
        from kzoo.export import export_model

        return export_model(self.model, path, **kwargs)


def _checked_when_run(value, words):
    """The tensors, once their batch is even; only TensorFlow leaves batches open."""
    import tensorflow as tf

    def checked(tensor):
        if tensor is None:
            return None
        even = tf.debugging.assert_equal(tf.shape(tensor)[0] % 2, 0, message=words)
        with tf.control_dependencies([even]):
            return tf.identity(tensor)

    return keras.tree.map_structure(checked, value)


def _half(value, number):
    def cut(tensor):
        return None if tensor is None else ops.split(tensor, 2)[number]

    return keras.tree.map_structure(cut, value)
