"""Groups of classes, checked at the door."""

import operator


def class_groups(groups):
    """Groups of classes as tuples of integers.

    A class may be in several groups, or in none.

    Raises:
        ValueError: for no group, for a group of fewer than two classes or with one twice, and for
            what is no class.
    """
    try:
        found = tuple(tuple(operator.index(label) for label in group) for group in groups)
    except TypeError:
        found = ()
    if not found:
        raise ValueError(
            "`groups` must be a list of groups of classes, for example [(3, 5, 8), (4, 9)]. "
            f"Received: groups={groups!r}"
        )
    for group in found:
        if len(group) < 2 or len(set(group)) < len(group) or min(group) < 0:
            raise ValueError(
                "Each of `groups` must hold two or more different classes, integers >= 0. "
                f"Received: {group}"
            )
    return found
