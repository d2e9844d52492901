"""Batches of the same number of images from each of some groups of classes."""

import numpy as np


def group_uniform(noun, groups, groups_per_batch, images_per_group, batch_size, generator):
    """The epoch of `ClassUniform` and `SuperclassUniform`: positions, group after group.

    Args:
        noun: what a group is, for messages.
        groups: the group of each image.
        groups_per_batch: different groups in a batch.
        images_per_group: different images of each.
        batch_size: what the batches will be cut to.
        generator: the `np.random.Generator` of the epoch.
    """
    names, counts = np.unique(groups, return_counts=True)
    _check(noun, names, counts, groups_per_batch, images_per_group, batch_size)
    batches = -(-len(groups) // batch_size)
    drawn = _deal(names, batches, groups_per_batch, generator)
    order = np.empty((batches, groups_per_batch, images_per_group), "int64")
    for name in names:
        turns = drawn == name
        images = np.flatnonzero(groups == name)
        order[turns] = _deal(images, turns.sum(), images_per_group, generator)
    return order.reshape(-1)


def _deal(items, hands, size, generator):
    """Hands of different items, as of cards: each item is dealt once before any is again."""
    count = dealt = len(items)
    rounds = [generator.permutation(count)]
    while dealt < hands * size:
        held = rounds[-1][count - dealt % size :]
        # The hand that lies open takes none again that it holds.
        first = generator.permutation(_others(count, held))[: -dealt % size]
        rest = generator.permutation(_others(count, first))
        rounds.append(np.concatenate([first, rest]))
        dealt += count
    return items[np.concatenate(rounds)[: hands * size]].reshape(hands, size)


def _others(count, taken):
    free = np.ones(count, bool)
    free[taken] = False
    return np.flatnonzero(free)


def _check(noun, names, counts, groups_per_batch, images_per_group, batch_size):
    if batch_size != groups_per_batch * images_per_group:
        raise ValueError(
            f"`batch_size` must be {groups_per_batch * images_per_group}, {groups_per_batch} "
            f"{noun}es x {images_per_group} images of the sampler. Received: "
            f"batch_size={batch_size}"
        )
    if groups_per_batch > len(names):
        raise ValueError(
            f"`{noun}es_per_batch` must be at most {len(names)}, the {noun}es of the split. "
            f"Received: {noun}es_per_batch={groups_per_batch}"
        )
    if images_per_group > counts.min():
        raise ValueError(
            f"`images_per_{noun}` must be at most {counts.min()}, the images of {noun} "
            f"{names[counts.argmin()]} in the split. Received: "
            f"images_per_{noun}={images_per_group}"
        )
