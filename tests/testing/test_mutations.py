"""Each planted fault is caught by the check that is there for it; the healthy form passes."""

import functools

import pytest

from kzoo import testing
from tests.losses.references import soft_targets
from tests.testing.application_mutants import APPLICATIONS
from tests.testing.layer_mutants import INITIALIZERS, LAYERS
from tests.testing.loss_mutants import LOSSES
from tests.testing.trainer_mutants import TRAINERS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]
MUTANTS = [*LAYERS, *INITIALIZERS, *LOSSES, *APPLICATIONS, *TRAINERS]


def outcome(check, entry):
    """The status of one check, and why."""
    if check != "formula":
        (result,) = testing.run(entry, [check])
        return result.status, result.message
    try:
        testing.check_formula(entry, soft_targets, [{"temperature": 4.0}])
    except AssertionError as error:
        return "failed", str(error)
    return "passed", ""


@functools.cache
def healthy_outcome(kind, check):
    """Of the healthy original of a kind, which many mutants share."""
    entries = {f"{h.kind} {h.name}": h for c, h, _ in MUTANTS if c == check}
    return outcome(check, entries[kind])


@pytest.mark.parametrize(
    ("check", "healthy", "faulty"),
    MUTANTS,
    ids=[f"{faulty.kind}-{faulty.name}-{check}" for check, _, faulty in MUTANTS],
)
def test_the_check_catches_the_fault(check, healthy, faulty):
    assert healthy_outcome(f"{healthy.kind} {healthy.name}", check) == ("passed", "")
    status, message = outcome(check, faulty)
    assert status == "failed"
    assert message


def test_there_are_many_mutants():
    assert len({faulty.name for _, _, faulty in MUTANTS}) >= 20
