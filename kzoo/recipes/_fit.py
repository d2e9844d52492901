"""`fit` from the last good checkpoint, on whichever backend."""

import inspect

import keras
import numpy as np

from kzoo import callbacks
from kzoo.recipes._progress import Clock

EVALUATION_BATCH = 256
# Those that a finished classifier is measured on.
SPLITS = ("validation", "test")


class Diverged(ValueError):
    """A loss or a weight became NaN; `history` holds the log of the epochs before."""

    # A default, since an exception that another process raised is made of its message alone first.
    def __init__(self, message: str, history: dict[str, list[float]] | None = None):
        super().__init__(message)
        self.history = history or {}


def fit(
    fitted, epochs, feed, dataset, seed, folder, watch, validate=True
) -> dict[str, list[float]]:
    """Fit to the end, wherever an earlier try stopped.

    Args:
        fitted: what is fitted, compiled.
        epochs: how many in all.
        feed: how batches are made, see `plan.Phase.feed`.
        dataset: the `kzoo.data.Dataset` to train on.
        seed: of the batches.
        folder: of the checkpoint.
        watch: function of the first epoch that returns the callbacks that change the model and
            those that watch it.
        validate: whether each epoch ends with the validation split, where there is one.

    Returns:
        The log of all epochs.

    Raises:
        Diverged: where the loss or a weight becomes NaN.
    """
    checkpoint = callbacks.ResumableCheckpoint(folder)
    if not fitted.built:
        fitted.build((None, *dataset.spec.image_shape))
    first_epoch = checkpoint.restore(fitted)
    stop = callbacks.StopOnNaN()
    if first_epoch < epochs:
        change, others = watch(first_epoch)
        images = {}
        if not getattr(fitted, "data_free", False):
            images["x"] = _batches(dataset)(
                "train",
                shuffle=feed["sampler"] is None,
                seed=seed,
                first_epoch=first_epoch,
                sample_index=asks_for_numbers(fitted),
                **feed,
            )
        fitted.fit(
            **images,
            validation_data=_validation(dataset) if validate else None,
            initial_epoch=first_epoch,
            epochs=epochs,
            shuffle=False,
            # What changes weights at the end of an epoch must come before they are kept.
            callbacks=[stop, Clock(), *change, checkpoint, *others],
            verbose=0,
        )
    reason = stop.message or _not_finite(fitted, checkpoint.history)
    if reason:
        raise Diverged(f"{fitted.name}, seed {seed}: {reason}", _finite_epochs(checkpoint.history))
    return checkpoint.history


def asks_for_numbers(fitted):
    """Whether a loss wants to know which sample is which."""
    # A first stage has its losses under another name.
    losses = getattr(fitted, "distillation_losses", getattr(fitted, "staged", ()))
    return any("sample_index" in inspect.signature(loss.call).parameters for loss in losses)


def _not_finite(fitted, history):
    """What is NaN at the end though the loss of no update was; `None` if nothing is."""
    names = [name for name, values in history.items() if not np.isfinite(values).all()]
    if names:
        return f"{', '.join(names)} became NaN or infinite"
    weights = map(keras.ops.convert_to_numpy, fitted.trainable_variables)
    if all(np.isfinite(each).all() for each in weights):
        return None
    return "the last update left weights that are NaN or infinite"


def _finite_epochs(history):
    """The log up to the first epoch with a value that is no number."""
    finite = np.all([np.isfinite(values) for values in history.values()], axis=0)
    whole = int(np.argmin([*np.atleast_1d(finite), False]))
    return {name: values[:whole] for name, values in history.items()}


def _batches(dataset):
    return dataset.pipeline if keras.backend.backend() == "tensorflow" else dataset.sequence


def _validation(dataset):
    if dataset.spec.sizes.get("validation"):
        return _batches(dataset)("validation", EVALUATION_BATCH)
    return None
