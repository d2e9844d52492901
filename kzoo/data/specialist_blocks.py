"""Batches for several specialists, half of each one's images from its own classes."""

import dataclasses

import numpy as np

from kzoo.data import _checks
from kzoo.data._class_groups import class_groups
from kzoo.data._groups import _deal


@dataclasses.dataclass(frozen=True)
class SpecialistBlocks:
    """Batches for several specialists, half of each one's images from its own classes.

    Use it as `sampler=` of `Dataset.sequence` and `Dataset.pipeline` for
    `kzoo.trainers.SpecialistEnsemble`, with the same groups.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
        NIPS Deep Learning Workshop 2014, arXiv:1503.02531, section 5.

    With M groups, image i of a batch is for specialist `i % M`, so `batch[m::M]` is the block of
    specialist m. Within a block images of the group's classes and images of all other classes take
    turns, so each are one half. Any part of a batch that is a multiple of 2 M images long is
    made alike, as are the shares of the replicas of a distribution strategy.

    In each block all images differ; an image may be in the blocks of several specialists. Images
    are dealt like cards: none of a group's comes again before all the others have come, and so do
    the images outside of it. All batches are full, so `drop_remainder` changes nothing, and an
    epoch has as many as without a sampler, `ceil(images / batch_size)`. Epochs are dealt anew.

    Args:
        groups: the classes of each specialist, two or more each; a class may be in several groups
            or in none. `kzoo.trainers.confusable_classes` finds them.
        batch_size: images a batch, those of all blocks; a multiple of 2 M.

    Raises:
        ValueError: for groups that are none, for a `batch_size` that does not divide or differs
            from that of the batches, for classes that the split does not have, and where a group
            or what is outside of it has fewer images than half a block.

    Example:

    ```python
    from kzoo import data

    sampler = data.SpecialistBlocks(groups=[(3, 8, 9), (1, 7)], batch_size=8)
    images, labels = data.load("digits").sequence("train", 8, sampler=sampler)[0]
    print([label in (1, 7) for label in labels[1::2]])  # [True, False, True, False]
    ```
    """

    groups: tuple
    batch_size: int

    def __post_init__(self):
        object.__setattr__(self, "groups", class_groups(self.groups))
        _checks.integer("batch_size", self.batch_size, minimum=1)
        if self.batch_size % (2 * len(self.groups)):
            raise ValueError(
                f"`batch_size` must be a multiple of {2 * len(self.groups)}, two halves for each "
                f"of {len(self.groups)} groups. Received: batch_size={self.batch_size}"
            )

    def order(self, labels, batch_size, generator):
        """The positions of the images of one epoch, batch after batch.

        Args:
            labels: of the split, in its fixed order.
            batch_size: images a batch.
            generator: the `np.random.Generator` of the epoch.
        """
        if batch_size != self.batch_size:
            raise ValueError(
                f"`batch_size` must be {self.batch_size}, that of {self}. "
                f"Received: batch_size={batch_size}"
            )
        count = len(self.groups)
        steps, half = -(-len(labels) // batch_size), batch_size // (2 * count)
        order = np.empty((steps, half, 2, count), "int64")
        for number, group in enumerate(self.groups):
            inside = np.isin(labels, group)
            self._check(group, labels, inside, half)
            for place, pool in enumerate((inside, ~inside)):
                dealt = _deal(np.flatnonzero(pool), steps, half, generator)
                order[:, :, place, number] = dealt
        return order.reshape(-1)

    def _check(self, group, labels, inside, half):
        missing = np.setdiff1d(group, labels)
        if len(missing):
            raise ValueError(
                f"`groups` names class {missing[0]}, of which the split has no image. "
                f"Received: {group}"
            )
        fewest = min(inside.sum(), (~inside).sum())
        if half > fewest:
            raise ValueError(
                f"`batch_size` must be at most {2 * fewest * len(self.groups)}: half a block must "
                f"not hold more than the {inside.sum()} images of the group {group} or the "
                f"{(~inside).sum()} others. Received: batch_size={self.batch_size}"
            )
