"""Kinds x entries x checks: every registered thing passes the battery of its kind."""

import dataclasses
import inspect

import pytest

from kzoo import registry, testing
from kzoo.testing.subjects import arguments
from tests.losses.references import REFERENCES, SETTINGS

CASES = [(entry, check) for entry in registry.entries() for check in testing.checks(entry.kind)]
LOSSES = registry.entries("loss")


# Each starts a Python of its own; two trainers stand for all in the short run.
ALONE = "result_without_kzoo"
QUICK = ("Distiller", "MutualLearning")


def case(entry, check):
    slow = entry.kind == "trainer" and check == ALONE and entry.name not in QUICK
    name = f"{entry.kind}-{entry.name}-{check}"
    return pytest.param(entry, check, id=name, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize(("entry", "check"), [case(*both) for both in CASES])
def test_conformance(entry, check):
    (result,) = testing.run(entry, [check])
    if result.status == "skipped":
        pytest.skip(result.message)
    if result.status == "xfailed":
        pytest.xfail(result.message)
    assert result.ok, result.message


def reference(entry):
    """The same loss in the variant of the reference code."""
    args = arguments(entry) | {"variant": "reference"}
    return dataclasses.replace(entry, tiny={**entry.tiny, "args": args})


REFERENCE_CASES = [
    (reference(entry), check)
    for entry in LOSSES
    if "variant" in inspect.signature(entry.target).parameters
    for check in ("gradients", "projector_gradients", "degenerate_inputs", "half_precision")
]


@pytest.mark.parametrize(
    ("entry", "check"),
    REFERENCE_CASES,
    ids=[f"{entry.name}-{check}" for entry, check in REFERENCE_CASES],
)
def test_conformance_of_the_reference_code(entry, check):
    test_conformance(entry, check)


@pytest.mark.parametrize("entry", LOSSES, ids=[entry.name for entry in LOSSES])
def test_formula(entry):
    assert entry.name in REFERENCES, f"Write a NumPy reference of {entry.name} in references.py."
    testing.check_formula(entry, REFERENCES[entry.name], SETTINGS[entry.name], 1e-4)
