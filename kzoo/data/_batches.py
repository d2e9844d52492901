"""Batches as a pure function of (seed, epoch, position)."""

import numpy as np


class Batches:
    """Batch number `index` of epoch number `epoch`, whenever and how often it is asked for.

    Args:
        images: raw images, all of them.
        labels: their labels.
        indices: which of them belong to the split.
        normalize: function from raw to normalised images.
        batch_size: images a batch; the last one may hold fewer.
        shuffle: whether each epoch has an order of its own.
        augment: function of `(images, generator)`, or `None`.
        seed: of order and augmentation.
        drop_remainder: whether a last batch of fewer images is left out.
    """

    def __init__(
        self,
        images,
        labels,
        indices,
        *,
        normalize,
        batch_size,
        shuffle,
        augment,
        seed,
        drop_remainder,
    ):
        self.batch_size = batch_size
        self.image_shape = images.shape[1:]
        self.steps = count_steps(len(indices), batch_size, drop_remainder)
        self.full = drop_remainder or len(indices) % batch_size == 0
        self._images, self._labels, self._indices = images, labels, indices
        self._normalize, self._augment = normalize, augment
        self._shuffle, self._seed = shuffle, seed
        self._last_order = (None, indices)

    def batch(self, epoch, index):
        """Images (float32) and labels (int64)."""
        start = index * self.batch_size
        chosen = self._order(epoch)[start : start + self.batch_size]
        images = self._normalize(self._images[chosen])
        if self._augment is not None:
            images = self._augmented(images, epoch, index)
        return images, self._labels[chosen]

    def _order(self, epoch):
        if not self._shuffle:
            return self._indices
        last, order = self._last_order
        if last != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._indices)
            self._last_order = (epoch, order)
        return order

    def _augmented(self, images, epoch, index):
        # A trailing zero does not change a seed sequence: batch 0 would share its
        # stream with the order, so batches count from 1.
        generator = np.random.default_rng([self._seed, epoch, index + 1])
        augmented = np.asarray(self._augment(images, generator), "float32")
        if augmented.shape != images.shape:
            raise ValueError(
                "`augment` must return as many images of the same shape as it was given, "
                f"{images.shape}. Received: shape={augmented.shape} from {self._augment}"
            )
        return augmented


def count_steps(images, batch_size, drop_remainder):
    """Batches in an epoch.

    Raises:
        ValueError: for a batch size that is no positive integer, or no batch at all.
    """
    is_integer = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if not is_integer or batch_size <= 0:
        raise ValueError(
            f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}"
        )
    steps = images // batch_size if drop_remainder else -(-images // batch_size)
    if steps == 0:
        raise ValueError(
            f"`drop_remainder=True` leaves no batch of {batch_size} from {images} images. "
            f"Received: batch_size={batch_size}"
        )
    return steps
