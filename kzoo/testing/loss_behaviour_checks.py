"""The battery of losses, second part: gradients, degenerate inputs, precision."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kzoo.registry import Entry
from kzoo.testing.battery import check, expect
from kzoo.testing.gradients import value_and_gradients
from kzoo.testing.loss_checks import (
    asked,
    call,
    context,
    evaluate,
    function_arguments,
    function_of,
    pair,
)
from kzoo.testing.subjects import dtype_policy, expect_close, expect_finite, make, mapped, numpy


@check("loss")
def gradients(entry: Entry) -> None:
    """The student gets a finite gradient that is not zero, the teacher none."""
    teacher, student = pair(entry)
    _, by_teacher, by_student = _gradients(function_of(entry), entry, teacher, student)
    sizes = [0.0 if g is None else float(np.max(np.abs(g))) for g in by_teacher]
    expect(max(sizes) == 0.0, f"The teacher gets a gradient of up to {max(sizes):.3g}.")
    expect(all(g is not None for g in by_student), "The student gets no gradient.")
    expect_finite(by_student, "The student's gradient")
    expect(all(np.any(g != 0) for g in by_student), "The student's gradient is zero.")


@check("loss")
def projector_gradients(entry: Entry) -> None:
    """With the tiny shapes every weight of the loss and the student get a gradient."""
    sides = pair(entry, equal_shapes=False)
    loss = make(entry)
    call(entry, loss, *sides)
    flat = keras.tree.flatten(list(sides))
    names = [w.path for w in loss.trainable_weights]

    def total(*tensors):
        packed = keras.tree.pack_sequence_as(list(sides), list(tensors))
        return ops.mean(call(entry, loss, *packed))

    _, by_weight, by_input = value_and_gradients(total, loss.trainable_weights, flat)
    count = len(keras.tree.flatten(sides[0]))
    expect(
        all(g is None or not np.any(g) for g in by_input[:count]), "The teacher gets a gradient."
    )
    dead = [n for n, g in zip(names, by_weight, strict=True) if g is None or not np.any(g)]
    expect(not dead, f"No gradient to {dead}.")
    found = [*by_weight, *by_input[count:]]
    expect(all(g is not None for g in found), "The student gets no gradient.")
    expect_finite(found, "A gradient")


@check("loss")
def degenerate_inputs(entry: Entry) -> None:
    """Zeros, equal tensors, equal rows and values of +-1e4: finite value and gradient."""
    teacher, student = pair(entry)
    cases = {
        "zeros": (mapped(np.zeros_like, teacher), mapped(np.zeros_like, student)),
        "a zero student": (teacher, mapped(np.zeros_like, student)),
        "equal tensors": (teacher, teacher),
        "equal rows": tuple(mapped(_repeat_first, side) for side in (teacher, student)),
        "+-1e4": tuple(mapped(lambda a: 1e4 * np.sign(a), side) for side in (teacher, student)),
        "one-hot 1e4": tuple(mapped(_one_hot, side) for side in (teacher, student)),
    }
    for name, sides in cases.items():
        value, _, by_student = _gradients(function_of(entry), entry, *sides)
        expect_finite(value, f"The loss of {name}")
        expect_finite([g for g in by_student if g is not None], f"The gradient at {name}")


@check("loss")
def half_precision(entry: Entry) -> None:
    """float16 inputs are computed in float32, whatever the global policy is."""
    sides = [mapped(lambda a: a.astype("float16"), side) for side in pair(entry)]
    large = [mapped(lambda a: (2e4 * np.sign(a)).astype("float16"), side) for side in sides]
    for name, half in (("normal", sides), ("large", large)):
        full = [mapped(lambda a: a.astype("float32"), side) for side in half]
        value, expected = evaluate(entry, *half), evaluate(entry, *full)
        expect(value.dtype == "float32", f"float16 inputs give {value.dtype}, not float32.")
        expect_finite(value, f"The loss of {name} float16 inputs")
        expect_close(value, expected, f"float16 against float32 on {name} inputs", 1e-5)
    _expect_policy_ignored(entry)


def _expect_policy_ignored(entry: Entry) -> None:
    sides = pair(entry, equal_shapes=False)
    reference = make(entry)
    reference.build(*(mapped(lambda a: a.shape, side) for side in sides))
    initial = reference.get_weights()
    expected = numpy(call(entry, reference, *sides))
    with dtype_policy("mixed_float16"):
        loss = make(entry)
        loss.build(*(mapped(lambda a: a.shape, side) for side in sides))
        loss.set_weights(initial)
        value = numpy(call(entry, loss, *sides))
    expect(value.dtype == "float32", f"Under mixed_float16 the loss is {value.dtype}.")
    expect_close(value, expected, "The loss under mixed_float16", 1e-5)


def _gradients(function: Callable, entry: Entry, teacher: Any, student: Any):
    """The loss and the gradients of its mean to each teacher and student tensor."""
    flat = keras.tree.flatten([teacher, student])
    keywords = {**function_arguments(entry), **asked(function, context(entry))}

    def total(*tensors):
        sides = keras.tree.pack_sequence_as([teacher, student], list(tensors))
        return ops.mean(function(*sides, **keywords))

    value, _, found = value_and_gradients(total, (), flat)
    count = len(keras.tree.flatten(teacher))
    return value, found[:count], found[count:]


def _repeat_first(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[:1], len(array), axis=0)


def _one_hot(array: np.ndarray) -> np.ndarray:
    hot = np.zeros_like(array)
    hot[..., 0] = 1e4
    return hot
