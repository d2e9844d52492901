"""The base of trainers from which several classifiers come out: networks, heads, exits."""

import functools
import inspect

import keras
import numpy as np
from keras import ops

from kzoo.trainers._labels import class_of, labels_for
from kzoo.trainers.trainer import Trainer


class Classifiers(Trainer):
    """A trainer whose training and evaluation show `<name>_accuracy` of each classifier.

    A method gives `scores` and `classifiers`, and calls `log_accuracies` while it trains.

    Args:
        names: of what `scores` gives; the classifier that `predict` runs first.
        **kwargs: those of `keras.Model`.
    """

    def __init__(self, names, **kwargs):
        super().__init__(**kwargs)
        self.measured = tuple(f"{name}_accuracy" for name in names)
        self._evaluated = {}

    def scores(self, inputs):
        """Probabilities or logits of all that classifies, in inference mode: by name."""
        raise NotImplementedError(f"{type(self).__name__} must implement `scores`.")

    @property
    def classifiers(self):
        """What comes out: name -> plain Keras model, the one that `predict` runs first.

        They share their weights with the trainer.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `classifiers`.")

    def best(self):
        """The classifier that was most accurate in the last `evaluate` or validation of `fit`.

        Before any the first one, which `predict` runs. Validate on images that you do not report
        on: this chooses by them.

        Returns:
            A plain Keras model that shares its weights with the trainer.
        """
        models = self.classifiers
        found = [self._evaluated.get(f"{name}_accuracy", 0.0) for name in models]
        return list(models.values())[int(np.argmax(found))]

    def save_own_variables(self, store):
        """Also save what `best` goes by."""
        super().save_own_variables(store)
        known = [self._evaluated.get(name, np.nan) for name in self.measured]
        store["evaluated"] = np.array(known, "float32")

    def load_own_variables(self, store):
        """The inverse of `save_own_variables`."""
        saved = {name: store[name] for name in store.keys()}  # noqa: SIM118 (not a dict)
        known = zip(self.measured, np.array(saved.pop("evaluated", ())), strict=False)
        super().load_own_variables(saved)
        self._evaluated = {name: float(value) for name, value in known if np.isfinite(value)}

    def measure(self, x, y):
        """The accuracy of each classifier."""
        return _accuracies(self.scores(x), y)

    def log_accuracies(self, scores, x, y):
        """Log how accurate each classifier is in training."""
        for name, value in _accuracies(scores, y).items():
            self.log(name, value, x)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args, **kwargs):
        """As in Keras; also remembers how accurate each classifier was, for `best`."""
        call = inspect.signature(keras.Model.evaluate).bind(self, *args, **kwargs).arguments
        as_dict = call.pop("return_dict", False)
        call.pop("self")
        logs = super().evaluate(**call.pop("kwargs", {}), **call, return_dict=True)
        self._evaluated = {name: float(value) for name, value in logs.items()}
        return logs if as_dict else self._flatten_metrics_in_order(logs)

    def export(self, path, **kwargs):
        """Export the best classifier alone; see `best`.

        Args:
            path: where to.
            **kwargs: those of `kzoo.export.export_model`, for example `format`.
        """
        from kzoo.export import export_model

        return export_model(self.best(), path, **kwargs)


def _accuracies(scores, y):
    """`{name_accuracy: one value a sample}`; nothing where `y` holds no labels of classes."""
    found = {}
    for name, outputs in scores.items():
        labels = labels_for(outputs, y)
        if labels is not None:
            found[f"{name}_accuracy"] = ops.cast(class_of(outputs) == labels, "float32")
    return found
