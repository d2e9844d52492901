"""The share of a batch that is one specialist's, and what shows on it."""

import dataclasses
import warnings

import keras
import numpy as np
from keras import ops

from kzoo.trainers._labels import class_of, labels_of

# How far the share of a group's images may be from one half, and on how many a block it is judged.
_TOLERANCE, _ENOUGH = 0.1, 100


@dataclasses.dataclass(frozen=True)
class Block:
    """What one of several specialists sees of a batch.

    Attributes:
        number: which specialist it is.
        count: of how many.
        group: its classes.
        classes: how many there are in all.
    """

    number: int
    count: int
    group: tuple
    classes: int

    def of(self, data):
        """Every `count`-th of the samples; one that another block has where that is none."""

        def cut(tensor):
            # A mean over no samples would be NaN.
            return tensor[self.number % ops.shape(tensor)[0] :: self.count]

        return keras.tree.map_structure(lambda t: None if t is None else cut(t), data)

    def labels(self, y):
        """The specialist's labels for those of the generalist: integers, or rows of weights."""
        bins = np.full(self.classes, len(self.group), "int32")
        bins[list(self.group)] = np.arange(len(self.group))
        if len(y.shape) == 2 and y.shape[-1] == self.classes:
            rows = np.eye(len(self.group) + 1, dtype="float32")[bins]
            return ops.matmul(ops.cast(y, "float32"), rows)
        return ops.take(bins, ops.cast(y, "int32"), axis=0)

    def right(self, outputs, labels):
        """Whether each of the specialist's predictions is its label."""
        return class_of(outputs) == self.classes_of(labels)

    def inside(self, labels):
        """Whether each of the specialist's labels is a class of its group."""
        return self.classes_of(labels) < len(self.group)

    def classes_of(self, labels):
        """The specialist's labels as integers."""
        return labels_of(labels, len(self.group) + 1)


def blocks_of(groups, classes):
    """A `Block` for each group."""
    return [Block(m, len(groups), group, classes) for m, group in enumerate(groups)]


def labels_given(y):
    """The labels of a batch as one tensor.

    Raises:
        ValueError: where there are none.
    """
    if y is None or keras.tree.is_nested(y):
        raise ValueError(
            "SpecialistEnsemble needs the class of each sample. Give integer labels or one-hot "
            f"rows as y. Received: y={y!r}"
        )
    return ops.convert_to_tensor(y)


def warn_of_share(name, group, share, samples):
    """Warn where the images of a specialist are not those that `SpecialistBlocks` deals."""
    if samples >= _ENOUGH and abs(share - 0.5) > _TOLERANCE:
        warnings.warn(
            f"Of the images of {name}, {share:.0%} are of its group {group}, not one half, which "
            "the correction of its dustbin class expects. Make the batches with "
            "sampler=kzoo.data.SpecialistBlocks(groups, batch_size).",
            stacklevel=2,
        )
