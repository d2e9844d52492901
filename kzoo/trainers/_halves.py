"""Trainers of one model whose batches hold two images for each position: the base, and halves."""

import warnings

import keras
from keras import ops

from kzoo import taps
from kzoo.trainers._batch import Batch
from kzoo.trainers._checks import Schedule, check_weight
from kzoo.trainers._configured import Configured
from kzoo.trainers._labels import labels_for
from kzoo.trainers._networks import LOGITS
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers.trainer import Trainer


class HalvesTrainer(Configured, Trainer):
    """A trainer of one model: position i of the first half of a batch goes with i of the second.

    Args:
        model: the model, built or not.
        further: taps to read beside its outputs and logits.
        weights: weights of terms by the name of their argument; kept as attributes.
        **kwargs: those of `keras.Model`.
    """

    # How batches are made, for errors and warnings.
    expected = ""

    def __init__(self, model, further, weights, **kwargs):
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
        self._scheduled = any(isinstance(weight, Schedule) for weight in weights.values())
        if model.built:
            self._prepare()

    @property
    def student(self):
        """The model that is trained."""
        return self.model

    def build(self, input_shape=None):
        """Build the model."""
        if not self.model.built:
            self.model.build(Batch.of(input_shape).inputs)
        self._prepare()

    def _prepare(self):
        if self.built:
            return
        # Hidden, so that Keras does not track the model a second time.
        self._hidden.read = taps.extractor(self.model, [OUTPUTS, LOGITS, *self._further])
        self.built = True

    def call(self, inputs, training=None):
        """The model's output, for any batch."""
        return self.model(Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The model's."""
        return self.model.compute_output_shape(Batch.of(input_shape).inputs)

    def halves(self, value):
        """Both halves of a tensor, or of each tensor of a structure; `None` stays `None`.

        Raises:
            ValueError: for an odd number of samples, where it is known.
        """
        for tensor in keras.tree.flatten(value):
            size = None if tensor is None else tensor.shape[0]
            if isinstance(size, int) and size % 2:
                raise ValueError(
                    f"{type(self).__name__} needs batches of an even number of samples, two "
                    f"halves. Received: a batch of {size}. Make them with {self.expected}."
                )
        return tuple(_half(value, number) for number in (0, 1))

    def log_pairs(self, outputs, x, y):
        """Log `same_class`, the share of positions at which both halves have the same label."""
        labels = labels_for(outputs, y)
        if labels is not None:
            first, second = self.halves(labels)
            self.log("same_class", ops.cast(first == second, "float32"), x)

    def diagnose(self, logs, ignore=()):
        """Warn about batches that are no pairs, and terms that stayed 0."""
        scheduled = self.term_names if self._scheduled else ()
        super().diagnose(logs, (*ignore, *scheduled))
        share = logs.get("same_class", 1.0)
        if share < 1.0 - 1e-6:
            warnings.warn(
                f"In {share:.1%} of the pairs of the first epoch both samples are of one class; "
                f"{type(self).__name__} expects all. Position i of the first half of a batch must "
                f"go with position i of its second half. Make batches with {self.expected}, and "
                "give `fit` neither `shuffle=True` nor several replicas.",
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


def _half(value, number):
    def cut(tensor):
        return None if tensor is None else ops.split(tensor, 2)[number]

    return keras.tree.map_structure(cut, value)
