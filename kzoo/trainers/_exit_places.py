"""Where a network gets classifiers beside its own."""

import dataclasses
import re

from kzoo.taps._names import canonical, resolve
from kzoo.taps._trace import trace

FINAL, ENSEMBLE = "final", "ensemble"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one exit reads a network.

    Attributes:
        tap: the tap, as written.
        name: of the exit, in logs and elsewhere.
        shape: of the map or vector, without batch; open sizes are `None`.
        sizes: `(height, width)` of a map and of the deepest map, any where sizes are open.
    """

    tap: str
    name: str
    shape: tuple
    sizes: tuple


def places(model, taps=None):
    """The places at `taps`, which are all stages but the last by default.

    Raises:
        ValueError: for a network without stages or with several outputs, and for taps that it does
            not have, that are neither maps nor vectors, that are given twice, that are out of
            order, or that do not lie before the last stage.
    """
    seen = trace(model)
    names = canonical(seen, model)
    stages = [name for name in names if name.startswith("stage")]
    if not stages or len(seen.outputs) != 1:
        raise ValueError(
            "`model` must be a classifier that has stages and one output. Received: "
            f"{model.name!r} with {len(seen.outputs)} outputs and the taps {list(names)}"
        )
    written = [taps] if isinstance(taps, str) else list(stages[:-1] if taps is None else taps)
    if not all(isinstance(tap, str) for tap in written):
        raise ValueError(f"`taps` must be a list of names or None. Received: taps={taps!r}")
    if not written:
        raise ValueError(
            f"There is nothing to attach a classifier to. {model.name!r} has the stages {stages}, "
            "and the classifier of the last one is its own. Name earlier layers in `taps`. "
            f"Received: taps={taps}"
        )
    found = [resolve(seen, names, tap).tensor for tap in written]
    last = names[stages[-1]].tensor
    _check_order(written, [_position(seen, tensor) for tensor in found], _position(seen, last))
    _check_ranks(written, found)
    given = [re.sub(r"\W+", "_", tap) for tap in written]
    _check_names(given)
    maps = [names[stage].tensor for stage in stages if len(names[stage].tensor.shape) == 4]
    return [
        Place(tap, name, seen.shape(tensor)[1:], _sizes(tensor, (maps or found)[-1]))
        for tap, name, tensor in zip(written, given, found, strict=True)
    ]


def _sizes(*tensors):
    return tuple(tuple(tensor.shape[1:3]) for tensor in tensors)


def _position(seen, tensor):
    """When a tensor is made in the pass."""
    for number, event in enumerate(seen.events):
        if any(tensor is made for made in (*event.outputs, *(event.activated or ()))):
            return number
    return -1


def _check_order(written, positions, last):
    for number, (tap, position) in enumerate(zip(written, positions, strict=True)):
        if position in positions[:number]:
            raise ValueError(f"{tap!r} is in `taps` twice. Received: taps={written}")
        if position >= last:
            raise ValueError(
                f"{tap!r} does not lie before the last stage, whose classifier is the model's own. "
                f"Name earlier taps. Received: taps={written}"
            )
    if positions != sorted(positions):
        raise ValueError(
            f"`taps` must be in order from the input to the output. Received: taps={written}"
        )


def _check_ranks(written, found):
    for tap, tensor in zip(written, found, strict=True):
        if len(tensor.shape) not in (2, 4):
            raise ValueError(
                "`taps` must be maps (batch, height, width, channels) or vectors (batch, channels)."
                f" Received: {tap!r} of shape {(None, *tensor.shape[1:])}"
            )


def _check_names(given):
    for name in given:
        if name in (FINAL, ENSEMBLE) or given.count(name) > 1:
            raise ValueError(
                "Exits are named after their taps, each differently and none 'final' or "
                f"'ensemble'. Received: {given}. Rename the layer of the model."
            )
