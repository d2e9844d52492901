"""Batteries of checks for layers, losses, applications and trainers.

`run` checks an entry of the registry, `check_layer` a layer of your own;
`resolve` finds either by name. A report lists one result a check.
"""

from kzoo.testing.battery import HOUSE_RULES, Report, Result, Skip, run
from kzoo.testing.checks import check_formula, check_layer, checks, resolve
from kzoo.testing.gradients import value_and_gradients

__all__ = [
    "HOUSE_RULES",
    "Report",
    "Result",
    "Skip",
    "check_formula",
    "check_layer",
    "checks",
    "resolve",
    "run",
    "value_and_gradients",
]
