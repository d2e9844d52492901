"""Batches of pairs of images of one class."""

import dataclasses

import numpy as np

from kzoo.data import _checks


@dataclasses.dataclass(frozen=True)
class SameClassPairs:
    """Batches of pairs of images of one class.

    Use it as `sampler=` of `Dataset.sequence` and `Dataset.pipeline` for methods that
    compare the predictions on two images of one class, such as class-wise
    self-distillation.

    Reference:
        Yun, Park, Lee, Shin, "Regularizing Class-wise Predictions via Self-knowledge
        Distillation", CVPR 2020, arXiv:2003.13964.

    The first half of a batch are images x, the second half other images x' of the same
    classes, position by position: `x[i]` and `x[batch_size // 2 + i]` are a pair, so
    labels repeat. As published, an epoch takes each image once as x, in random order.
    So it has `ceil(images / (batch_size / 2))` steps, twice as many as without a sampler;
    `Dataset.steps(..., sampler=...)` counts them. The last batch may hold fewer pairs.

    Args:
        batch_size: images a batch, those of both halves; even.
        distinct: whether an image is never its own partner, unless it is the only one of
            its class. The published code draws x' among all images of the class, x
            included: `distinct=False`.

    Raises:
        ValueError: for an odd `batch_size`, or one that differs from that of the batches.

    Example:

    ```python
    from kzoo import data

    sampler = data.SameClassPairs(8)
    sequence = data.load("digits").sequence("train", 8, sampler=sampler)
    images, labels = sequence[0]
    print((labels[:4] == labels[4:]).all(), len(sequence))  # True 324
    ```
    """

    batch_size: int
    distinct: bool = True

    def __post_init__(self):
        if _checks.integer("batch_size", self.batch_size, minimum=2) % 2:
            raise ValueError(
                "`batch_size` must be even, as a batch is made of pairs. "
                f"Received: batch_size={self.batch_size}"
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
        half = batch_size // 2
        images = generator.permutation(len(labels))
        partners = self._partners(labels, generator)[images]
        cuts = range(0, len(images), half)
        halves = [part[cut : cut + half] for cut in cuts for part in (images, partners)]
        return np.concatenate(halves)

    def _partners(self, labels, generator):
        """For each image one of its class."""
        _, groups, counts = np.unique(labels, return_inverse=True, return_counts=True)
        by_class = np.argsort(groups, kind="stable")
        starts, sizes = (np.cumsum(counts) - counts)[groups], counts[groups]
        ranks = np.empty(len(labels), "int64")
        ranks[by_class] = np.arange(len(labels))
        if self.distinct:
            steps = 1 + generator.integers(0, np.maximum(sizes - 1, 1))
        else:
            steps = generator.integers(0, sizes)
        return by_class[starts + (ranks - starts + steps) % sizes]
