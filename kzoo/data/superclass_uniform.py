"""Batches of some superclasses, with the same number of images of each."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from kzoo.data import _checks
from kzoo.data._groups import group_uniform


@dataclasses.dataclass(frozen=True)
class SuperclassUniform:
    """Batches of some superclasses, with the same number of images of each.

    Use it as `sampler=` like `ClassUniform` where there are so many classes that a batch
    would hold too few alike: a superclass is a set of classes that resemble each other.

    Reference:
        Peng, Jin, Liu, Li, Wu, Liu, Zhou, Zhang, "Correlation Congruence for Knowledge
        Distillation", ICCV 2019, arXiv:1904.01802 (superclass-uniform random sampling).

    A batch holds `superclasses_per_batch` different superclasses, one after the other, and
    `images_per_superclass` different images of each, of whichever of its classes. What an
    epoch is, and how evenly it covers the images, is as in `ClassUniform`.

    Args:
        superclasses: the superclass of each class, integers in the order of the classes.
        superclasses_per_batch: different superclasses in a batch.
        images_per_superclass: different images of each.

    Raises:
        ValueError: for numbers below 1 or a list that is none of integers; and from
            `sequence` and `pipeline` for a list shorter than the classes, a split of fewer
            superclasses or images, or a `batch_size` that is not the product.

    Example:

    ```python
    from kzoo import data

    round_or_not = [1, 0, 0, 1, 0, 0, 1, 0, 1, 1]
    sampler = data.SuperclassUniform(round_or_not, 2, 4)
    images, labels = data.load("digits").sequence("train", 8, sampler=sampler)[0]
    print(sum(round_or_not[label] for label in labels))  # 4
    ```

    The paper clusters the teacher's features of the classes to find the superclasses;
    here they are given. It draws each batch on its own; here images are dealt.
    """

    superclasses: Sequence[int]
    superclasses_per_batch: int
    images_per_superclass: int

    def __post_init__(self):
        superclasses = np.asarray(self.superclasses)
        if superclasses.ndim != 1 or superclasses.dtype.kind not in "ui":
            raise ValueError(
                "`superclasses` must be a list with the superclass of each class, an integer. "
                f"Received: superclasses={self.superclasses!r}"
            )
        object.__setattr__(self, "superclasses", tuple(superclasses.tolist()))
        _checks.integer("superclasses_per_batch", self.superclasses_per_batch, minimum=1)
        _checks.integer("images_per_superclass", self.images_per_superclass, minimum=1)

    def order(self, labels, batch_size, generator):
        """The positions of the images of one epoch, batch after batch.

        Args:
            labels: of the split, in its fixed order.
            batch_size: images a batch.
            generator: the `np.random.Generator` of the epoch.
        """
        if labels.max() >= len(self.superclasses):
            raise ValueError(
                "`superclasses` must hold one integer for each class. Received: "
                f"{len(self.superclasses)} for labels up to {labels.max()}"
            )
        groups = np.asarray(self.superclasses)[labels]
        count, images = self.superclasses_per_batch, self.images_per_superclass
        return group_uniform("superclass", groups, count, images, batch_size, generator)
