"""The same data set with fewer training images."""

from collections.abc import Sequence

import numpy as np

from kzoo.data import _checks
from kzoo.data._split import subset
from kzoo.data._views import with_train
from kzoo.data.dataset import Dataset


def reduced(
    dataset: Dataset,
    *,
    train_size: int | None = None,
    omit_classes: Sequence[int] = (),
    seed: int = 0,
) -> Dataset:
    """The same data set with fewer training images; validation and test stay as they are.

    For studies of what a method does with little data, or with classes that it never sees. The
    spec keeps all classes and the normalisation.

    Args:
        dataset: a `kzoo.data.Dataset`.
        train_size: how many training images to keep, stratified; all that are left by default.
        omit_classes: classes whose training images are left out.
        seed: decides which images are kept; smaller subsets lie within larger ones where all
            classes are equally frequent.

    Raises:
        ValueError: for classes that the data set does not have, more images than are left, or so
            few that a class has none.

    Example:

    ```python
    from kzoo import data

    dataset = data.load("digits")
    few = data.reduced(dataset, train_size=100, omit_classes=[3])
    print(few.spec.sizes["train"], 3 in few.arrays("train")[1])  # 100 False
    ```
    """
    if train_size is not None:
        _checks.integer("train_size", train_size, minimum=1)
    unknown = [c for c in omit_classes if not 0 <= c < dataset.spec.classes]
    if unknown or len(set(omit_classes)) >= dataset.spec.classes:
        raise ValueError(
            f"`omit_classes` must name some, not all, of the classes 0 to "
            f"{dataset.spec.classes - 1}. Received: omit_classes={list(omit_classes)}"
        )
    labels = dataset.raw("train")[1]
    kept = subset(labels, train_size, omit_classes, seed)
    lost = np.setdiff1d(labels, [*labels[kept], *omit_classes])
    if len(lost):
        raise ValueError(
            f"No training image is left of class {dataset.spec.class_names[lost[0]]!r}. Give a "
            f"larger `train_size`. Received: train_size={train_size}"
        )
    return with_train(dataset, kept)
