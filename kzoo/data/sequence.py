"""Batches for `fit` on any backend."""

import keras
import numpy as np

from kzoo.data._batches import Batches
from kzoo.data.batch_options import BatchOptions


class Sequence(keras.utils.PyDataset):
    """The batches of one epoch; the next epoch has its own order and augmentation.

    Made by `Dataset.sequence`; pass it to `fit` and `evaluate` on any backend, or
    loop over it. Batch `i` of epoch `e` is a function of `(seed, e, i)` alone, so a run
    that was killed in epoch `k` goes on identically with
    `fit(dataset.sequence(..., first_epoch=k), initial_epoch=k)`.

    `fit` shuffles the indices of a `PyDataset` with Python's global generator, unless it
    is told `shuffle=False`. That would spoil the above, so within an epoch of `fit` the
    batches come in their own order, whatever index is asked for.

    The epoch moves on when all its batches were handed out; a loop that was left early
    begins the same epoch again. So leave `steps_per_epoch` of `fit` alone, and shorten
    epochs with `train_size`. Keras looks at a batch or two before it trains on JAX and
    torch: where an epoch has no more, that look counts as an epoch. Set `epoch` at the
    beginning of each epoch where that matters. Under `tf.distribute` use
    `Dataset.pipeline`.

    `batch` and `sample_numbers` answer for any epoch and move nothing. With them a teacher
    can be recorded on the very images that will be trained on: the random numbers of the
    augmentation belong to `(seed, epoch, batch, view)`, so the same arguments, `batch_size`
    and `sampler` among them, give the same images again. For each epoch, give the rows of
    `batch(epoch, i)` to the teacher, and let `attach(sample_numbers, epoch)` look its outputs
    up in training. Look them up by the number alone only without `augment`, and by epoch
    and number only where no number comes twice in `sample_numbers(epoch)`, as with some
    samplers; with several views, row `r` shows view `r // (rows // views)`.

    Args:
        batches: what makes the batches.
        first_epoch: the epoch to begin with.

    Example:

    ```python
    import keras
    from kzoo import data

    dataset = data.load("digits")
    sequence = dataset.sequence("train", 64, shuffle=True, augment="shift", seed=1)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(sequence, epochs=2, verbose=0)
    print(len(sequence), sequence.epoch)  # 21 2
    ```
    """

    def __init__(self, batches: Batches, first_epoch: int = 0):
        super().__init__()
        self.epoch = first_epoch
        self.batches = batches
        self._position = None

    def __len__(self):
        return self.batches.steps

    def __getitem__(self, index):
        self._check_index(index)
        # Beyond the end it is a `fit` that was interrupted, and no longer asks.
        if self._position is not None and self._position < len(self):
            index = self._position
            self._position += 1
        return self.batches.batch(self.epoch, index)

    def __iter__(self):
        epoch = self.epoch
        for index in range(len(self)):
            yield self.hand_out(epoch, index)

    @property
    def options(self) -> BatchOptions:
        """What the batches are, as `Dataset.sequence` was told."""
        return self.batches.options

    def batch(self, epoch: int, index: int):
        """Batch `index` of epoch `epoch`, whichever epoch the sequence is in."""
        self._check_index(index)
        return self.batches.batch(epoch, index)

    def sample_numbers(self, epoch: int) -> np.ndarray:
        """The sample numbers of an epoch, batch after batch; of one view.

        They are those that `sample_index=True` gives, whether it was asked for or not.
        """
        return self.batches.numbers(epoch)

    def hand_out(self, epoch, index):
        """Batch `index` of epoch `epoch`; with its last batch the next epoch begins."""
        # Before the last batch, as nobody may ask what comes after it.
        if index == len(self) - 1:
            self.epoch = epoch + 1
        return self.batches.batch(epoch, index)

    def on_epoch_begin(self):
        """Called by `fit`."""
        self._position = 0

    def on_epoch_end(self):
        """Called by `fit`, which also calls it without having begun an epoch."""
        if self._position == len(self):
            self.epoch += 1
        self._position = None

    def _check_index(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} does not exist: an epoch has {len(self)} batches.")
