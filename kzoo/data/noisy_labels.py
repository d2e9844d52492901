"""The same data set with wrong labels among the training images."""

import numpy as np

from kzoo.data import _checks
from kzoo.data._views import with_train_labels
from kzoo.data.dataset import Dataset


def noisy_labels(dataset: Dataset, rate: float, *, seed: int = 0) -> Dataset:
    """The same data set with wrong labels among the training images.

    For studies of how robust a method is. A fixed share of the training images gets another class,
    each of the others equally likely (symmetric noise). Validation and test keep their labels.

    Args:
        dataset: a `kzoo.data.Dataset`.
        rate: the share of training images whose label is wrong, in [0, 1]; rounded to whole images.
        seed: decides which images, and which labels they get.

    Raises:
        ValueError: for a rate outside of [0, 1] or a seed that is no integer >= 0.

    Example:

    ```python
    from kzoo import data

    dataset = data.load("digits")
    noisy = data.noisy_labels(dataset, 0.4)
    wrong = noisy.arrays("train")[1] != dataset.arrays("train")[1]
    print(round(wrong.mean(), 2))  # 0.4
    ```
    """
    if not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise ValueError(f"`rate` must be in [0, 1]. Received: rate={rate!r}")
    _checks.integer("seed", seed)
    labels = dataset.raw("train")[1]
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(len(labels))[: round(rate * len(labels))]
    changed = labels.copy()
    shift = generator.integers(1, dataset.spec.classes, len(wrong))
    changed[wrong] = (labels[wrong] + shift) % dataset.spec.classes
    return with_train_labels(dataset, changed)
