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


def evaluate(entry: Entry, teacher: Any, student: Any) -> np.ndarray:
    """The function's value with the tiny arguments."""
    return numpy(function_of(entry)(teacher, student, **function_arguments(entry)))


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
    value = make(entry, **bare)(teacher, student)
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
    value = make(entry)(teacher, student)
    expect(tuple(value.shape) == expected, f"Shape {tuple(value.shape)} instead of {expected}.")
    expect_finite(value, "The loss")
    inputs = [mapped(lambda a: keras.Input(a.shape[1:]), side) for side in (teacher, student)]
    symbolic = tuple(make(entry)(*inputs).shape)
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
    permuted = evaluate(entry, *(mapped(lambda a: a[order], side) for side in (teacher, student)))
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
        alone = evaluate(entry, *(mapped(lambda a, s=one: a[s], side) for side in sides))
        expect_close(alone, together[one], f"Sample {index} alone and in its batch")


@check("loss")
def save_and_load(entry: Entry) -> None:
    """A model of the loss gives the same value after a `.keras` round trip."""
    sides = pair(entry, equal_shapes=False)
    inputs = [mapped(lambda a: keras.Input(a.shape[1:]), side) for side in sides]
    model = keras.Model(inputs, make(entry)(*inputs))
    for weight in model.weights:
        weight.assign(numpy(weight) + 0.1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loss.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    expect_close(loaded(list(sides)), model(list(sides)), "The loss after loading", 1e-6)
