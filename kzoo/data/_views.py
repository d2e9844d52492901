"""Views of a data set with other training images; the rest is shared."""

import copy
import dataclasses


def with_train(dataset, positions):
    """With some of its training images, by position in the split."""
    view, chosen = copy.copy(dataset), dataset._indices["train"][positions]
    view._indices = {**dataset._indices, "train": chosen}
    sizes = {**dataset.spec.sizes, "train": len(chosen)}
    view.spec = dataclasses.replace(dataset.spec, sizes=sizes)
    return view


def with_train_labels(dataset, labels):
    """With other labels, one for each image of the training split."""
    view = copy.copy(dataset)
    images, published = dataset._arrays["train"]
    changed = published.copy()
    changed[dataset._indices["train"]] = labels
    view._arrays = {**dataset._arrays, "train": (images, changed)}
    return view
