"""The public face of `kzoo.testing`: batteries by kind, and things to run them on.

report = kzoo.testing.run(kzoo.registry.get("layer", "DropBlock2D"))
report = kzoo.testing.check_layer(MyLayer, args={"filters": 4}, input_shape=(2, 8, 8, 4))
print(report)
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kzoo import registry
from kzoo.registry import Entry
from kzoo.testing import (
    application_behaviour_checks,  # noqa: F401
    application_checks,  # noqa: F401
    config_checks,  # noqa: F401  (importing a file of checks fills the batteries)
    docstring_checks,  # noqa: F401
    initializer_checks,  # noqa: F401
    layer_behaviour_checks,  # noqa: F401
    layer_checks,  # noqa: F401
    loss_behaviour_checks,  # noqa: F401
    loss_checks,
    trainer_checks,  # noqa: F401
    trainer_run_checks,  # noqa: F401
)
from kzoo.testing.battery import Report, checks, run
from kzoo.testing.subjects import expect_close, mapped, numpy

__all__ = ["check_formula", "check_layer", "checks", "resolve", "run"]


def check_layer(
    cls: type,
    args: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
    input_shape: Sequence[int] = (2, 8, 8, 4),
    **facts: Any,
) -> Report:
    """Run the battery of layers on a class that need not be registered with kzoo.

    The house rules of kzoo (docstrings, exports, attributes) are left out.

    Args:
        cls: the layer class, registered with Keras serialisation.
        args: constructor arguments, or a function that makes them afresh.
        input_shape: shape of the input with the batch.
        **facts: what the layer declares, such as `training="noise"`, `rank=2` or
            `losses=1`; see ARCHITECTURE.md.
    """
    return run(_unregistered("layer", cls, args, input_shape, facts))


def check_formula(
    entry: Entry,
    reference: Callable[..., Any],
    settings: Iterable[Mapping[str, Any]] = ({},),
    tolerance: float = 1e-5,
) -> None:
    """Compare the function of a loss with an independent reference in NumPy.

    Args:
        entry: a loss.
        reference: takes float64 arrays of teacher and student and the keywords of
            the setting; returns what the loss should.
        settings: keyword arguments of the function to try.
        tolerance: relative to the largest value.

    Raises:
        AssertionError: where they differ.
    """
    function = loss_checks.function_of(entry)
    for keywords in settings:
        for seed, scale in ((0, 1.0), (1, 10.0)):
            sides = [_scaled(side, scale) for side in loss_checks.pair(entry, seed=seed)]
            exact = [mapped(lambda a: a.astype("float64"), side) for side in sides]
            told = loss_checks.asked(function, loss_checks.context(entry))
            found = numpy(function(*sides, **told, **keywords))
            what = f"{entry.name} with {dict(keywords)} against the reference"
            expect_close(found, reference(*exact, **told, **keywords), what, tolerance)


def _scaled(side: Any, scale: float) -> Any:
    return mapped(lambda a: a * np.float32(scale), side)


def resolve(
    kind: str,
    name: str,
    args: Mapping[str, Any] | None = None,
    input_shape: Sequence[int] | None = None,
    build: str | None = None,
    **facts: Any,
) -> Entry:
    """The entry of a registered name, or one made for `"package.module:Name"`.

    Args:
        kind: a kind of the registry.
        name: a name or alias in the registry, or the path of a user's own object.
        args: constructor arguments; those of the entry by default.
        input_shape: shape of the input, as `tiny` of the kind has it; for a loss the
            shape of teacher and student.
        build: for a trainer of your own the path `"package.module:function"` of what
            builds one; see the table of facts in ARCHITECTURE.md.
        **facts: declared properties of a user's own object.

    Raises:
        ValueError: where there is no such thing, where your own lacks an input shape or
            a `build`, or where a registered name is given facts.
    """
    if ":" not in name:
        if args or input_shape or build or facts:
            raise ValueError(
                f"{name!r} declares its own arguments, shapes and facts. Give them only for an "
                "object of your own, named 'package.module:Name'."
            )
        return registry.get(kind, name)
    target = _imported(name)
    if input_shape is None and kind in ("layer", "initializer", "loss", "application"):
        raise ValueError(f"Give an input shape for {name!r}, for example (2, 8, 8, 4) for a layer.")
    if build is None and kind in ("trainer", "callback"):
        raise ValueError(
            f"Give the function that builds a {kind} like {name!r}: 'package.module:function'."
        )
    entry = _unregistered(kind, target, args, input_shape, facts)
    if build is None:
        return entry
    return dataclasses.replace(entry, tiny={**entry.tiny, "build": _imported(build)})


def _imported(path: str) -> Any:
    """What `"package.module:Name"` names."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{path!r} cannot be imported ({error}). Give it as 'package.module:Name', with "
            "the folder of the package on the Python path."
        ) from error


def _unregistered(kind, target, args, input_shape, facts) -> Entry:
    """An entry that stands in no registry, with the input shape under the kind's own key."""
    keys = {
        "loss": ("teacher_shape", "student_shape"),
        "initializer": ("shape",),
    }.get(kind, ("input_shape",))
    tiny: dict[str, Any] = {"args": args or {}}
    if input_shape is not None:
        tiny |= {key: tuple(input_shape) for key in keys}
    return Entry(kind=kind, name=target.__name__, target=target, tiny=tiny, facts=facts)
