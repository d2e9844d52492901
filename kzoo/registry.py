"""The registry: every public thing of kzoo, by kind and name.

An entry is also the test plan of what it names: `tiny` is the smallest working
constructor call, `facts` are the properties that the batteries of
`kzoo.testing` check, `xfail` lists the checks that are known to fail and why.
"""

import dataclasses
import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

PACKAGES = {
    "layer": "kzoo.layers",
    "initializer": "kzoo.initializers",
    "loss": "kzoo.losses",
    "schedule": "kzoo.schedules",
    "application": "kzoo.applications",
    "trainer": "kzoo.trainers",
    "callback": "kzoo.callbacks",
    "dataset": "kzoo.data",
}
_SERIALIZABLE = ("layer", "initializer", "loss", "schedule", "trainer")
_entries: dict[tuple[str, str], "Entry"] = {}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One registered thing.

    Attributes:
        kind: one of `PACKAGES`.
        name: the public name, unique within its kind.
        target: the class, constructor or function itself.
        paper: where it was published, for example `"arXiv:1810.12890"`.
        aliases: the names that readers of the papers look for.
        tiny: the smallest constructor call and input (keys depend on the kind,
            see ARCHITECTURE.md).
        facts: declared properties that the battery of the kind verifies.
        xfail: check name -> reason; such a check must fail.
    """

    kind: str
    name: str
    target: Any
    paper: str = ""
    aliases: tuple[str, ...] = ()
    tiny: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    xfail: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the target's docstring."""
        lines = (self.target.__doc__ or "").strip().splitlines()
        return lines[0] if lines else ""


def register(
    kind: str,
    *,
    paper: str = "",
    aliases: Sequence[str] = (),
    tiny: Mapping[str, Any] | None = None,
    xfail: Mapping[str, str] | None = None,
    name: str | None = None,
    **facts: Any,
) -> Callable[[Any], Any]:
    """Decorator that makes a class or constructor a part of the zoo.

    Layers, initialisers, losses, schedules and trainers are also registered with Keras
    serialisation under the package name `kzoo`.

    Args:
        kind: one of `PACKAGES`.
        paper: the source, for example `"arXiv:1810.12890"`.
        aliases: other names under which `find` returns the entry.
        tiny: the smallest constructor call and input.
        xfail: checks that must fail, each with its reason.
        name: public name; the target's `__name__` by default.
        **facts: properties that the battery of the kind checks.

    Raises:
        ValueError: for an unknown kind, or a name or alias that is taken.
    """
    if kind not in PACKAGES:
        raise ValueError(f"Unknown kind: {kind!r}. {suggest(kind, PACKAGES)}")

    def decorate(target: Any) -> Any:
        entry = Entry(
            kind=kind,
            name=name or target.__name__,
            target=target,
            paper=paper,
            aliases=tuple(aliases),
            tiny=dict(tiny or {}),
            facts=facts,
            xfail=dict(xfail or {}),
        )
        _add(entry)
        if kind in _SERIALIZABLE and isinstance(target, type):
            return keras.saving.register_keras_serializable(package="kzoo")(target)
        return target

    return decorate


def entries(kind: str | None = None) -> list[Entry]:
    """All entries, or those of one kind, sorted by kind and name.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind is not None and kind not in PACKAGES:
        raise ValueError(f"Unknown kind: {kind!r}. {suggest(kind, PACKAGES)}")
    _load()
    found = [entry for entry in _entries.values() if kind in (None, entry.kind)]
    return sorted(found, key=lambda entry: (list(PACKAGES).index(entry.kind), entry.name))


def get(kind: str, name: str) -> Entry:
    """The entry of that kind whose name or alias is `name`, in any case.

    Raises:
        ValueError: for an unknown kind or name; the message offers near names.
    """
    candidates = entries(kind)
    for entry in candidates:
        if _matches(entry, name):
            return entry
    known = [n for entry in candidates for n in (entry.name, *entry.aliases)]
    raise ValueError(f"Unknown {kind}: {name!r}. {suggest(name, known)}")


def find(name: str) -> list[Entry]:
    """The entries of any kind whose name or alias is `name`, in any case.

    Raises:
        ValueError: where nothing has that name; the message offers near names.
    """
    found = [entry for entry in entries() if _matches(entry, name)]
    if not found:
        known = [n for entry in entries() for n in (entry.name, *entry.aliases)]
        raise ValueError(f"Nothing in kzoo is called {name!r}. {suggest(name, known)}")
    return found


def suggest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The sentence that ends an unknown-name error: nearest names, else all."""
    known = sorted(set(known))
    folded = {k.casefold(): k for k in known}
    near = difflib.get_close_matches(str(name).casefold(), folded, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(repr(folded[n]) for n in near)}?"
    return f"Known: {', '.join(known) or 'none'}."


def _matches(entry: Entry, name: str) -> bool:
    return name.casefold() in (n.casefold() for n in (entry.name, *entry.aliases))


def _add(entry: Entry) -> None:
    for other in _entries.values():
        taken = {n.casefold() for n in (other.name, *other.aliases)}
        clash = taken & {n.casefold() for n in (entry.name, *entry.aliases)}
        if other.kind == entry.kind and clash:
            raise ValueError(
                f"The {entry.kind} name {min(clash)!r} of {entry.name} is already taken by "
                f"{other.name} ({other.target.__module__}). Choose another name or alias."
            )
    _entries[entry.kind, entry.name] = entry


def _load() -> None:
    for package in PACKAGES.values():
        importlib.import_module(package)
