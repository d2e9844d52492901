"""Names that are there once each."""

import itertools
from collections.abc import Iterable


def unique_names(names: list[str], reserved: Iterable[str] = ()) -> list[str]:
    """Names as they are where each is there once, else with the first number that is free.

    Args:
        names: which may be repeated.
        reserved: names that none may have.
    """
    taken, found = {*reserved, *(n for n in names if names.count(n) == 1)}, []
    for place, name in enumerate(names, start=1):
        if name in reserved or names.count(name) > 1:
            free = (f"{name}_{number}" for number in itertools.count(place))
            name = next(one for one in free if one not in taken)
            taken.add(name)
        found.append(name)
    return found
