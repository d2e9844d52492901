"""Batches as a pure function of (seed, epoch, position)."""

import numpy as np

from kzoo.data import batch_keys
from kzoo.data._attached import Attached
from kzoo.data.shuffled import Shuffled


class Batches:
    """Batch number `index` of epoch number `epoch`, whenever and how often it is asked for.

    Args:
        images: raw images, all of them.
        labels: their labels.
        indices: which of them belong to the split.
        options: the `BatchOptions`.
        normalize: function from raw to normalised images.
        augment: function of `(images, generator)`, or `None`.
        first_epoch: the epoch that will be asked for first.
    """

    def __init__(self, images, labels, indices, options, *, normalize, augment, first_epoch):
        self.options = options
        self._images, self._indices, self._labels = images, indices, labels[indices]
        self._normalize, self._augment = normalize, augment
        self._sampler = options.sampler
        if self._sampler is None and options.shuffle:
            self._sampler = Shuffled()
        seed = self._seed(first_epoch)
        order = epoch_order(self._sampler, self._labels, options.batch_size, seed)
        self._last_order = (first_epoch, order)
        self.steps = count_steps(len(order), options.batch_size, options.drop_remainder)
        full = options.drop_remainder or len(order) % options.batch_size == 0
        self.rows = options.views * options.batch_size if full else None
        self._attached = None
        if options.attach is not None:
            self._attached = Attached(
                options.attach, np.tile(order[:1], options.views), first_epoch
            )

    def batch(self, epoch, index):
        """Images (float32), or a dict with them, and labels (int64)."""
        numbers = self._chosen(epoch, index)
        images = self._views(self._normalize(self._images[self._indices[numbers]]), epoch, index)
        numbers = np.tile(numbers, self.options.views)
        labels, index_column = self._labels[numbers], numbers.astype("int32")
        # Last, as `attach` may change the numbers that it is given.
        teacher = self._attached and self._attached.rows(numbers, epoch)
        return self._inputs(images, index_column, teacher), labels

    def template(self):
        """A batch of no images, to tell structure, dtypes and shapes."""
        images = np.zeros((0, *self._images.shape[1:]), "float32")
        teacher = self._attached and self._attached.template
        return self._inputs(images, np.zeros(0, "int32"), teacher), np.zeros(0, "int64")

    def numbers(self, epoch):
        """The sample numbers of an epoch, batch after batch; of one view."""
        return self._order(epoch)[: self.steps * self.options.batch_size].copy()

    def _chosen(self, epoch, index):
        start = index * self.options.batch_size
        return self._order(epoch)[start : start + self.options.batch_size]

    def _order(self, epoch):
        last, order = self._last_order
        if self._sampler is None or last == epoch:
            return order
        length, seed = len(order), self._seed(epoch)
        order = epoch_order(self._sampler, self._labels, self.options.batch_size, seed)
        if len(order) != length:
            raise ValueError(
                "`sampler.order` must return as many positions for every epoch, at first "
                f"{length}. Received: {len(order)} for epoch {epoch} from {self._sampler}"
            )
        self._last_order = (epoch, order)
        return order

    def _views(self, images, epoch, index):
        if self._augment is None:
            return images
        # A trailing zero does not change a seed sequence: batch 0 would share its stream
        # with the order, so batches count from 1, and the first view has no number.
        seed, count = self._seed(epoch, index + 1), self.options.views
        if count == 1:
            return self._augmented(images, seed)
        seeds = [seed, *((*seed, view) for view in range(1, count))]
        return np.concatenate([self._augmented(images.copy(), view) for view in seeds])

    def _augmented(self, images, seed):
        augmented = self._augment(images, np.random.default_rng(seed))
        augmented = np.asarray(augmented, "float32")
        if augmented.shape != images.shape:
            raise ValueError(
                "`augment` must return as many images of the same shape as it was given, "
                f"{images.shape}. Received: shape={augmented.shape} from {self._augment}"
            )
        return augmented

    def _seed(self, *numbers):
        return (self.options.seed, *numbers)

    def _inputs(self, images, numbers, teacher):
        if not self.options.sample_index and teacher is None:
            return images
        columns = {batch_keys.INPUTS: images}
        if self.options.sample_index:
            columns[batch_keys.SAMPLE_INDEX] = numbers
        if teacher is not None:
            columns[batch_keys.TEACHER] = teacher
        return columns


def epoch_order(sampler, labels, batch_size, seed):
    """The positions of one epoch, checked; without a sampler all as they come.

    Raises:
        ValueError: where the sampler does not fit labels or batch size, or returns no positions.
    """
    _check_batch_size(batch_size)
    if sampler is None:
        return np.arange(len(labels))
    order = np.asarray(sampler.order(labels, batch_size, np.random.default_rng(seed)))
    if order.ndim != 1 or order.dtype.kind not in "ui" or not len(order):
        raise ValueError(
            "`sampler.order` must return a list of positions, integers. "
            f"Received: shape={order.shape}, dtype={order.dtype} from {sampler}"
        )
    if order.min() < 0 or order.max() >= len(labels):
        raise ValueError(
            f"`sampler.order` must return positions in [0, {len(labels)}). "
            f"Received: {order.min()} to {order.max()} from {sampler}"
        )
    return order.astype("int64", copy=False)


def count_steps(images, batch_size, drop_remainder):
    """Batches in an epoch.

    Raises:
        ValueError: for a batch size that is no positive integer, or no batch at all.
    """
    _check_batch_size(batch_size)
    steps = images // batch_size if drop_remainder else -(-images // batch_size)
    if steps == 0:
        raise ValueError(
            f"`drop_remainder=True` leaves no batch of {batch_size} from {images} images. "
            f"Received: batch_size={batch_size}"
        )
    return steps


def _check_batch_size(batch_size):
    is_integer = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if not is_integer or batch_size <= 0:
        raise ValueError(
            f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}"
        )
