"""The battery of losses, first part: form and invariances."""

import inspect
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kzoo.registry import Entry
from kzoo.testing.battery import Skip, check, expect
from kzoo.testing.subjects import (
    arguments,
    expect_close,
    expect_finite,
    make,
    mapped,
    numpy,
    own_arguments,
    random_inputs,
)


def snake_case(name: str) -> str:
    """`SoftTargets` -> `soft_targets`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def function_of(entry: Entry) -> Callable[..., Any]:
    """The pure function that stands beside a loss class."""
    name = snake_case(entry.target.__name__)
    found = vars(sys.modules[entry.target.__module__]).get(name)
    expect(callable(found), f"{entry.target.__module__} has no function {name}(teacher, student).")
    return found


def function_arguments(entry: Entry) -> dict[str, Any]:
    """Those of the tiny arguments that the function takes."""
    known = inspect.signature(function_of(entry)).parameters
    return {name: value for name, value in arguments(entry).items() if name in known}


def context(entry: Entry) -> dict[str, Any]:
    """What a loss is told beside the two features, by name: arrays with one row per sample."""
    given = entry.tiny.get("context", {})
    return dict(given() if callable(given) else given)


def asked(function: Callable[..., Any], told: dict[str, Any]) -> dict[str, Any]:
    """That part of the context which a function has parameters for."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in told.items() if name in known}


def evaluate(entry: Entry, teacher: Any, student: Any, rows: Any = None) -> np.ndarray:
    """The function's value with the tiny arguments; of some rows of the context, if given."""
    function = function_of(entry)
    told = asked(function, context(entry))
    if rows is not None:
        told = mapped(lambda a: a[rows] if isinstance(a, np.ndarray) else a, told)
    return numpy(function(teacher, student, **told, **function_arguments(entry)))


def call(entry: Entry, loss: Any, teacher: Any, student: Any) -> Any:
    """The class's value, told what it asks for."""
    return loss(teacher, student, **asked(loss.call, context(entry)))


def pair(entry: Entry, equal_shapes: bool = True, seed: int = 0) -> tuple[Any, Any]:
    """Random teacher and student inputs; both in the teacher's shape by default."""
    teacher = entry.tiny["teacher_shape"]
    student = teacher if equal_shapes else entry.tiny["student_shape"]
    return random_inputs(teacher, 2 * seed), random_inputs(student, 2 * seed + 1)


@check("loss")
def function_equals_class(entry: Entry) -> None:
    """The class gives the value of the function of the same name."""
    teacher, student = pair(entry)
    bare = {"projector": None} if "projector" in own_arguments(entry.target) else {}
    value = call(entry, make(entry, **bare), teacher, student)
    expect_close(value, evaluate(entry, teacher, student), "Class against function", 1e-6)


@check("loss")
def function_docstring(entry: Entry) -> None:
    """The function's docstring has a summary and describes each argument."""
    text = inspect.getdoc(function_of(entry)) or ""
    expect(text.split("\n", 1)[0].endswith("."), "The function needs a docstring.")
    names = inspect.signature(function_of(entry)).parameters
    missing = [name for name in names if not re.search(rf"^ +[\w, ]*\b{name}\b.*:", text, re.M)]
    expect(not missing, f"The function's `Args:` does not describe {missing}.")


@check("loss")
def output_shape(entry: Entry) -> None:
    """One value per sample, or a scalar, as declared: eager and symbolic."""
    teacher, student = pair(entry, equal_shapes=False)
    per_sample = entry.facts.get("per_sample", False)
    batch = len(keras.tree.flatten(teacher)[0])
    expected = (batch,) if per_sample else ()
    value = call(entry, make(entry), teacher, student)
    expect(tuple(value.shape) == expected, f"Shape {tuple(value.shape)} instead of {expected}.")
    expect_finite(value, "The loss")
    inputs = [mapped(lambda a: keras.Input(a.shape[1:]), side) for side in (teacher, student)]
    symbolic = tuple(_symbolic(entry, inputs)[1].shape)
    expected = (None,) if per_sample else ()
    expect(symbolic == expected, f"Symbolic shape {symbolic} instead of {expected}.")


@check("loss")
def zero_at_equal(entry: Entry) -> None:
    """The loss of equal tensors is zero, that of unlike ones positive, where declared."""
    teacher, student = pair(entry)
    value = evaluate(entry, teacher, student)
    if not entry.facts.get("zero_at_equal", False):
        raise Skip("not declared")
    expect(np.all(value > 1e-4), f"The loss of unlike tensors is {value}, not positive.")
    expect_close(evaluate(entry, teacher, teacher), 0 * value, "The loss of equal tensors", 1e-6)


@check("loss")
def both_sides_matter(entry: Entry) -> None:
    """The value changes with the teacher and with the student."""
    teacher, student = pair(entry)
    other_teacher, other_student = pair(entry, seed=5)
    value = evaluate(entry, teacher, student)
    for name, other in (
        ("teacher", evaluate(entry, other_teacher, student)),
        ("student", evaluate(entry, teacher, other_student)),
    ):
        expect(np.max(np.abs(value - other)) > 1e-4, f"The loss does not depend on the {name}.")


@check("loss")
def shift_invariance(entry: Entry) -> None:
    """Adding a constant to all logits of a sample changes nothing."""
    if not entry.facts.get("logits", False):
        raise Skip("not a loss of logits")
    teacher, student = pair(entry)
    shifted = evaluate(
        entry, mapped(lambda a: a + 3.0, teacher), mapped(lambda a: a - 7.0, student)
    )
    expect_close(shifted, evaluate(entry, teacher, student), "The loss of shifted logits", 1e-5)


@check("loss")
def permutation(entry: Entry) -> None:
    """Permuting the batch permutes per-sample values and leaves a scalar as it is."""
    teacher, student = pair(entry)
    value = evaluate(entry, teacher, student)
    order = np.roll(np.arange(len(keras.tree.flatten(teacher)[0])), 1)
    sides = [mapped(lambda a: a[order], side) for side in (teacher, student)]
    permuted = evaluate(entry, *sides, rows=order)
    expected = value[order] if entry.facts.get("per_sample", False) else value
    expect_close(permuted, expected, "The loss of a permuted batch")


@check("loss")
def sample_independence(entry: Entry) -> None:
    """A per-sample value depends on its sample alone, however the batch is split."""
    if not entry.facts.get("per_sample", False):
        raise Skip("one value a batch")
    sides = pair(entry)
    together = evaluate(entry, *sides)
    for index in range(len(together)):
        one = slice(index, index + 1)
        cut = [mapped(lambda a, s=one: a[s], side) for side in sides]
        alone = evaluate(entry, *cut, rows=one)
        expect_close(alone, together[one], f"Sample {index} alone and in its batch")


@check("loss")
def save_and_load(entry: Entry) -> None:
    """A model of the loss gives the same value after a `.keras` round trip."""
    sides = pair(entry, equal_shapes=False)
    inputs = [mapped(lambda a: keras.Input(a.shape[1:]), side) for side in sides]
    told, value = _symbolic(entry, inputs)
    sides = [*sides, *(context(entry)[symbol.name] for symbol in told)]
    model = keras.Model([*inputs, *told], value)
    for weight in model.weights:
        weight.assign(numpy(weight) + 0.1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loss.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    expect_close(loaded(list(sides)), model(list(sides)), "The loss after loading", 1e-6)


def _symbolic(entry: Entry, inputs: list) -> tuple[list, Any]:
    """Symbols for the context that the loss asks for, and its symbolic value."""
    loss = make(entry)
    told = {
        name: keras.Input(a.shape[1:], dtype=str(a.dtype), name=name)
        for name, a in asked(loss.call, context(entry)).items()
        if isinstance(a, np.ndarray)
    }
    return list(told.values()), loss(*inputs, **told)
