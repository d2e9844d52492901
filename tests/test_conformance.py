"""Kinds x entries x checks: every registered thing passes the battery of its kind."""

import pytest

from kzoo import registry, testing
from tests.losses.references import REFERENCES, SETTINGS

CASES = [(entry, check) for entry in registry.entries() for check in testing.checks(entry.kind)]
LOSSES = registry.entries("loss")


@pytest.mark.parametrize(
    ("entry", "check"), CASES, ids=[f"{entry.kind}-{entry.name}-{check}" for entry, check in CASES]
)
def test_conformance(entry, check):
    (result,) = testing.run(entry, [check])
    if result.status == "skipped":
        pytest.skip(result.message)
    if result.status == "xfailed":
        pytest.xfail(result.message)
    assert result.ok, result.message


@pytest.mark.parametrize("entry", LOSSES, ids=[entry.name for entry in LOSSES])
def test_formula(entry):
    assert entry.name in REFERENCES, f"Write a NumPy reference of {entry.name} in references.py."
    testing.check_formula(entry, REFERENCES[entry.name], SETTINGS[entry.name], 1e-4)
