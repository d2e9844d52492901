"""Stratified splits that stay the same for ever."""

import numpy as np

_TEST, _VALIDATION, _SUBSET = range(3)


def hold_out_test(images, labels):
    """Train and test parts of a data set that was published in one piece.

    The test part is a fifth of the images, rounded up, stratified, and always the same.

    Returns:
        `(train_images, train_labels, test_images, test_labels)`.
    """
    test = _stratified(labels, -(-len(labels) // 5), (0, _TEST))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return images[train], labels[train], images[test], labels[test]


def train_and_validation(labels, fraction, train_size, seed):
    """Sorted indices of the training and of the validation images.

    Args:
        labels: of the published training images.
        fraction: share of them that becomes the validation split.
        train_size: number of training images to keep, or `None` for all that remain.
        seed: decides which; subsets of growing `train_size` contain each other where all
            classes are equally frequent.
    """
    validation = _stratified(labels, round(fraction * len(labels)), (seed, _VALIDATION))
    train = np.setdiff1d(np.arange(len(labels)), validation)
    if train_size is not None:
        if train_size > len(train):
            raise ValueError(
                f"`train_size` must be at most {len(train)}, the training images beside the "
                f"{len(validation)} for validation. Received: train_size={train_size}"
            )
        train = train[_stratified(labels[train], train_size, (seed, _SUBSET))]
    return train, validation


def subset(labels, train_size, omit_classes, seed):
    """Sorted positions of some training images: without classes, then a stratified part."""
    kept = np.flatnonzero(~np.isin(labels, list(omit_classes)))
    if train_size is None:
        return kept
    if train_size > len(kept):
        raise ValueError(
            f"`train_size` must be at most {len(kept)}, the training images that are left. "
            f"Received: train_size={train_size}"
        )
    return kept[_stratified(labels[kept], train_size, (seed, _SUBSET))]


def _stratified(labels, size, seed):
    # RandomState, because NumPy guarantees its stream for ever: results that were
    # published on a split must not depend on the version of NumPy.
    generator = np.random.RandomState(seed)
    classes, counts = np.unique(labels, return_counts=True)
    quota, remainder = np.divmod(counts * size, len(labels))
    largest = np.argsort(-remainder, kind="stable")
    quota[largest[: size - quota.sum()]] += 1
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, quota, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
