"""What the batches of a split are to be."""

import dataclasses
from collections.abc import Callable
from typing import Any

from kzoo.data import _checks
from kzoo.data._attached import functions


@dataclasses.dataclass(frozen=True)
class BatchOptions:
    """The arguments of `Dataset.sequence` and `Dataset.pipeline`, without `first_epoch`.

    Use it to compare how two sequences were made: `sequence.options`, and what an
    `attach` with a method `check(dataset, options)` is shown before it is used.
    `dataset.sequence(**options.arguments())` makes the same batches again.

    Attributes:
        split: `"train"`, `"validation"` or `"test"`.
        batch_size: images a batch.
        shuffle: whether each epoch has an order of its own.
        augment: as it was given.
        seed: of order and augmentation.
        drop_remainder: whether a last batch of fewer images is left out.
        sampler: as it was given.
        views: augmented views of each image in a batch.
        sample_index: whether the batches hold the numbers of their images.
        attach: as it was given.

    Raises:
        ValueError: for a seed or a number of views out of range, or anything that cannot
            be a sampler or an `attach`.

    Example:

    ```python
    from kzoo import data

    sequence = data.load("digits").sequence("train", 64, shuffle=True, augment="shift")
    print(sequence.options.augment, sequence.options.views)  # shift 1
    ```
    """

    split: str
    batch_size: int
    shuffle: bool = False
    augment: Any = None
    seed: int = 0
    drop_remainder: bool = False
    sampler: Any = None
    views: int = 1
    sample_index: bool = False
    attach: Callable | None = None

    def __post_init__(self):
        _checks.integer("seed", self.seed)
        if _checks.integer("views", self.views, minimum=1) > 1 and self.augment is None:
            raise ValueError(
                "Without `augment` the views of an image would be equal. Give an `augment`, or "
                f"`views=1`. Received: views={self.views}, augment=None"
            )
        sampler = self.sampler
        if sampler is not None and (isinstance(sampler, type) or not _has_order(sampler)):
            raise ValueError(
                "`sampler` must be None or an object with a method `order(labels, batch_size, "
                f"generator)`, such as `ClassUniform(8, 4)`. Received: sampler={sampler!r}"
            )
        attached = functions(self.attach)
        if self.attach is not None and not (attached and all(map(callable, attached))):
            raise ValueError(
                "`attach` must be None, a function of (sample_numbers, epoch) or a list of such. "
                f"Received: attach={self.attach!r}"
            )

    def arguments(self) -> dict[str, Any]:
        """The arguments by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def _has_order(sampler):
    return callable(getattr(sampler, "order", None))
