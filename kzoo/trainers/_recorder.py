"""Fill the files of a recording with what a teacher shows."""

import time

import keras
import numpy as np

from kzoo.data import batch_keys
from kzoo.trainers import _recording
from kzoo.trainers._batch import Batch

_SECONDS_BETWEEN_MARKS = 5.0


class Reader(keras.Model):
    """A teacher's outputs at some taps, as a model, so that `predict` compiles it."""

    def __init__(self, teacher, taps):
        super().__init__(autocast=False, name="reader")
        # Hidden from Keras: the weights stay those of the caller's models.
        self.shown = lambda inputs: {
            tap: tensor for tap, tensor in teacher.read(_run, Batch(inputs)).items() if tap in taps
        }

    def call(self, inputs):
        """Tap -> tensor."""
        return self.shown(inputs)


def record(reader, dataset, options, folder, manifest, verbose):
    """Fill the files from where they were left, and sign them."""
    arrays = {
        tap: _recording.open_array(folder / one["file"], one["shape"], one["dtype"], "r+")
        for tap, one in manifest["taps"].items()
    }
    replay, (first_epoch, first_step) = manifest["replay"], manifest["done"]
    epochs = replay["epochs"] if replay else 1
    bar, marked = None, time.monotonic()
    for epoch in range(first_epoch, epochs):
        batches = dataset.sequence(**options.arguments(), first_epoch=epoch)
        total = epochs * len(batches)
        bar = bar or keras.utils.Progbar(total, verbose=verbose, unit_name="batch")
        for step in range(first_step if epoch == first_epoch else 0, len(batches)):
            x, _ = batches[step]
            rows = x[batch_keys.SAMPLE_INDEX]
            shown = reader.predict_on_batch(x[batch_keys.INPUTS])
            for tap, array in arrays.items():
                array[(epoch, rows) if replay else rows] = _finite(shown[tap], array.dtype, tap)
            bar.update(epoch * len(batches) + step + 1)
            if time.monotonic() - marked > _SECONDS_BETWEEN_MARKS:
                _mark(folder, manifest, arrays, [epoch, step + 1])
                marked = time.monotonic()
    _mark(folder, manifest, arrays, [epochs, 0])
    sums = {tap: _recording.sha256(folder / one["file"]) for tap, one in manifest["taps"].items()}
    _recording.write_manifest(folder, {**manifest, "done": [epochs, 0], "sha256": sums})


def _mark(folder, manifest, arrays, done):
    """Note how far the recording is, once the rows are on the disk."""
    for array in arrays.values():
        array.flush()
    _recording.write_manifest(folder, {**manifest, "done": done})


def _finite(values, dtype, tap):
    with np.errstate(over="ignore"):
        stored = np.asarray(values).astype(dtype)
    if not np.all(np.isfinite(stored)):
        raise ValueError(
            f"The teacher's outputs at {tap!r} are not finite in {dtype}. Is it trained, are its "
            "inputs preprocessed as it expects? Values beyond 65504 need dtype='float32'."
        )
    return stored


def _run(model, inputs, batch_statistics=False):
    return model(inputs, training=False)
