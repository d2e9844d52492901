"""Batches of some classes, with the same number of images of each."""

import dataclasses

from kzoo.data import _checks
from kzoo.data._groups import group_uniform


@dataclasses.dataclass(frozen=True)
class ClassUniform:
    """Batches of some classes, with the same number of images of each.

    Use it as `sampler=` of `Dataset.sequence` and `Dataset.pipeline` for losses on the
    relations between the images of a batch, which need images of one class and of
    several, such as correlation congruence.

    Reference:
        Peng, Jin, Liu, Li, Wu, Liu, Zhou, Zhang, "Correlation Congruence for Knowledge
        Distillation", ICCV 2019, arXiv:1904.01802 (class-uniform random sampling).

    A batch holds `classes_per_batch` different classes, class after class, and
    `images_per_class` different images of each. All batches are full, so
    `drop_remainder` changes nothing, and an epoch has as many as without a sampler,
    `ceil(images / batch_size)`.

    Classes and images are dealt like cards: no class comes again before all the others
    have come, and no image before all the others of its class. So within an epoch the
    classes come equally often, within one, and so do the images of a class. Where the
    classes have the same size and everything divides, that is each image once; a small
    class is seen more than once, a large one not wholly. Epochs are dealt anew.

    Args:
        classes_per_batch: different classes in a batch.
        images_per_class: different images of each; at most those of the smallest class.

    Raises:
        ValueError: for numbers below 1; and from `sequence` and `pipeline` for a split of
            fewer classes or images, or a `batch_size` that is not their product.

    Example:

    ```python
    from kzoo import data

    sampler = data.ClassUniform(classes_per_batch=3, images_per_class=2)
    images, labels = data.load("digits").sequence("train", 6, sampler=sampler)[0]
    print((labels[::2] == labels[1::2]).all(), len(set(labels)))  # True 3
    ```

    The paper draws each batch on its own; dealing has the same batches in expectation
    and covers the images evenly.
    """

    classes_per_batch: int
    images_per_class: int

    def __post_init__(self):
        _checks.integer("classes_per_batch", self.classes_per_batch, minimum=1)
        _checks.integer("images_per_class", self.images_per_class, minimum=1)

    def order(self, labels, batch_size, generator):
        """The positions of the images of one epoch, batch after batch.

        Args:
            labels: of the split, in its fixed order.
            batch_size: images a batch.
            generator: the `np.random.Generator` of the epoch.
        """
        classes, images = self.classes_per_batch, self.images_per_class
        return group_uniform("class", labels, classes, images, batch_size, generator)
