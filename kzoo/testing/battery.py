"""What a battery is: checks by kind, how they are run and what they report."""

import dataclasses
import functools
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from kzoo.registry import PACKAGES, Entry, suggest

HOUSE_RULES = ("docstring", "example", "exported", "attributes")
_BATTERIES: dict[str, dict[str, Callable[[Entry], None]]] = {kind: {} for kind in PACKAGES}


class Skip(Exception):
    """Raised by a check that does not apply to an entry."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of one check.

    Attributes:
        check: the name of the check.
        status: `"passed"`, `"failed"`, `"skipped"`, `"xfailed"` (failed as the entry
            says it must) or `"xpassed"` (passed although the entry says it must fail).
        message: why it failed or was skipped.
        seconds: how long it took.
    """

    check: str
    status: str
    message: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """False for `"failed"` and for `"xpassed"`: expected failures are strict."""
        return self.status not in ("failed", "xpassed")


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of a battery on one entry.

    Attributes:
        entry: what was checked.
        results: one `Result` a check, in the battery's order.
    """

    entry: Entry
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """True where every result is ok."""
        return all(result.ok for result in self.results)

    @property
    def failures(self) -> list[Result]:
        """The results that are not ok."""
        return [result for result in self.results if not result.ok]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __str__(self) -> str:
        lines = [f"{self.entry.kind} {self.entry.name}: {'passed' if self.passed else 'FAILED'}"]
        for result in self.results:
            tail = f"  {result.message}" if result.message else ""
            lines.append(f"  {result.status:8}{result.check}{tail}")
        return "\n".join(lines)


def check(*kinds: str, backend: str | None = None) -> Callable[[Callable], Callable]:
    """Decorator that puts a function of an entry into the battery of `kinds`.

    Args:
        *kinds: kinds of the registry.
        backend: the only backend where the check applies; any by default.
    """

    def decorate(function: Callable[[Entry], None]) -> Callable[[Entry], None]:
        @functools.wraps(function)
        def guarded(entry: Entry) -> None:
            if backend not in (None, keras.backend.backend()):
                raise Skip(f"needs the {backend} backend")
            function(entry)

        for kind in kinds:
            _BATTERIES[kind][function.__name__] = guarded
        return guarded

    return decorate


def checks(kind: str) -> dict[str, Callable[[Entry], None]]:
    """The battery of a kind: name of the check -> function of an entry.

    A check returns nothing where it passes, raises `Skip` where it does not apply,
    and raises anything else where it fails.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in _BATTERIES:
        raise ValueError(f"Unknown kind: {kind!r}. {suggest(kind, _BATTERIES)}")
    return dict(_BATTERIES[kind])


def run(entry: Entry, names: Iterable[str] | None = None) -> Report:
    """Run the battery of its kind, or some checks of it, on an entry.

    Args:
        entry: what `kzoo.registry.get` or `kzoo.testing.resolve` returns.
        names: the checks to run; all of them by default, without the house rules of kzoo
            (docstrings, exports, attributes) for what is not a part of kzoo.

    Raises:
        ValueError: for an unknown check, also one that the entry's `xfail` names.
    """
    battery = checks(entry.kind)
    names = None if names is None else list(names)
    for name in [*(names or ()), *entry.xfail]:
        if name not in battery:
            raise ValueError(
                f"Unknown check of the kind {entry.kind}: {name!r}. {suggest(name, battery)}"
            )
    if names is None:
        names = [name for name in battery if is_ours(entry) or name not in HOUSE_RULES]
    return Report(entry, tuple(_run_one(entry, name, battery[name]) for name in names))


def is_ours(entry: Entry) -> bool:
    """Whether the target is a part of kzoo, which declares every fact."""
    return entry.target.__module__.startswith("kzoo.")


def _run_one(entry: Entry, name: str, function: Callable[[Entry], None]) -> Result:
    """One check from a fixed seed; neither policy nor outcome leaks out of it."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    start = time.perf_counter()
    status, message = "passed", ""
    try:
        function(entry)
    except Skip as reason:
        status, message = "skipped", str(reason)
    except Exception as error:
        status, message = "failed", _describe(error)
    finally:
        keras.config.set_dtype_policy(policy)
    if name in entry.xfail:
        status, message = _expected_failure(status, message, entry.xfail[name])
    return Result(name, status, message, time.perf_counter() - start)


def _expected_failure(status: str, message: str, reason: str) -> tuple[str, str]:
    if status == "failed":
        return "xfailed", f"{reason} ({message})"
    return "xpassed", f"Declared to fail ({reason}), but it {status}: take it out of `xfail`."


def _describe(error: Exception) -> str:
    text = str(error).strip()
    if isinstance(error, AssertionError) and text:
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({frame.filename}:{frame.lineno} in {frame.name})"


def expect(condition: Any, message: str) -> None:
    """Fail the running check with `message` unless the condition holds."""
    if not condition:
        raise AssertionError(message)
