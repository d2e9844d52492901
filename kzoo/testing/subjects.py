"""What every battery needs: instances of an entry, inputs, variations of arguments, comparisons."""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kzoo.registry import Entry
from kzoo.testing.battery import expect

_BASE_ARGUMENTS = ("self", "name", "dtype", "trainable")


def arguments(entry: Entry) -> dict[str, Any]:
    """The constructor arguments of `entry.tiny`, made afresh."""
    args = entry.tiny.get("args", {})
    return dict(args() if callable(args) else args)


def make(entry: Entry, **changes: Any) -> Any:
    """The smallest instance of an entry, with some arguments changed."""
    return entry.target(**{**arguments(entry), **changes})


def own_arguments(target: Any) -> dict[str, inspect.Parameter]:
    """The named parameters of a class or function, without those of the Keras base class."""
    function = target.__init__ if isinstance(target, type) else target
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in named and name not in _BASE_ARGUMENTS
    }


def random_array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal float32 values, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def random_inputs(shape: Any, seed: int = 0) -> Any:
    """Random values of one shape, or of each of a list of shapes."""
    if isinstance(shape[0], int):
        return random_array(tuple(shape), seed)
    return [random_array(tuple(each), seed + 100 * i) for i, each in enumerate(shape)]


def layer_input(entry: Entry) -> Any:
    """Random values of the input shape (or list of shapes) of a layer's entry."""
    return random_inputs(entry.tiny["input_shape"])


def mapped(function: Callable, structure: Any) -> Any:
    """`function` on an array, or on each array of a list."""
    return keras.tree.map_structure(function, structure)


def shape_of(x: Any) -> Any:
    """The shape of an array, or the list of shapes of a list of arrays."""
    return [tuple(a.shape) for a in x] if isinstance(x, list) else tuple(x.shape)


def sub_layers(layer: keras.Layer) -> list[keras.Layer]:
    """All layers inside a layer, at any depth."""
    return list(layer._flatten_layers(include_self=False))


def numpy(value: Any) -> Any:
    """Tensors, variables and structures of them as NumPy arrays."""
    return keras.tree.map_structure(lambda v: np.array(ops.convert_to_numpy(v)), value)


def values(variables: Any) -> list[np.ndarray]:
    """Copies of the values of variables."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def same(first: Any, second: Any) -> bool:
    """True where two structures hold bit-identical arrays."""
    first, second = (keras.tree.flatten(numpy(v)) for v in (first, second))
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def expect_close(found: Any, wanted: Any, what: str, tolerance: float = 1e-5) -> None:
    """Fail unless two structures of arrays agree, relative to their largest value."""
    found, wanted = (keras.tree.flatten(numpy(v)) for v in (found, wanted))
    expect(len(found) == len(wanted), f"{what}: {len(found)} arrays instead of {len(wanted)}.")
    for a, b in zip(found, wanted, strict=True):
        expect(a.shape == b.shape, f"{what}: shape {a.shape} instead of {b.shape}.")
        if not a.size:
            continue
        error = np.max(np.abs(a.astype("float64") - b.astype("float64")))
        limit = tolerance * max(1.0, np.max(np.abs(b)))
        expect(error <= limit, f"{what}: differs by {error:.3g}, more than {limit:.3g}.")


def expect_finite(value: Any, what: str) -> None:
    """Fail where a structure of arrays holds NaN or infinity."""
    for array in keras.tree.flatten(numpy(value)):
        expect(np.all(np.isfinite(array)), f"{what}: not finite.")


def differing(first: list[np.ndarray], second: list[np.ndarray], names: list[str]) -> list[str]:
    """The names of the arrays that changed from `first` to `second`."""
    triples = zip(first, second, names, strict=True)
    return [name for a, b, name in triples if not np.array_equal(a, b)]


@contextlib.contextmanager
def dtype_policy(policy: str) -> Iterator[None]:
    """Keras' global dtype policy for a while."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def variations(entry: Entry) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """For each own argument: its name and changed arguments that the constructor accepts.

    The new value is guessed from the type of the old one; strings come from the
    quoted choices in the docstring. Arguments without a guess are left out.
    """
    base = arguments(entry)
    for name, parameter in own_arguments(entry.target).items():
        default = None if parameter.default is parameter.empty else parameter.default
        for candidate in _candidates(entry, name, base.get(name, default)):
            changes = {**arguments(entry), name: candidate}
            with contextlib.suppress(ValueError, TypeError):
                entry.target(**changes)
                yield name, changes
                break


def _candidates(entry: Entry, name: str, value: Any) -> list[Any]:
    """Values unlike `value` that may be legal for an argument."""
    if name == "seed":
        return [(value or 0) + 7]
    if name == "activation":
        return [choice for choice in ("tanh", "sigmoid") if choice != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value + 2, 2 * value]
    if isinstance(value, float):
        return [value * 0.5 if value else 0.25, value + 1.0, 0.125]
    if isinstance(value, str):
        return [choice for choice in _quoted(entry, name) if choice != value]
    if isinstance(value, tuple | list) and all(isinstance(v, int) for v in value):
        return [type(value)(v + 1 for v in value)]
    return []


def _quoted(entry: Entry, name: str) -> list[str]:
    """The quoted words in the paragraph of the docstring on one argument."""
    text = inspect.getdoc(entry.target) or ""
    found = re.search(rf"^ +{name}:(.*?)(?=^ +\w+:|^\S)", text, re.M | re.S)
    return re.findall(r"[\"']([\w-]+)[\"']", found.group(1)) if found else []
