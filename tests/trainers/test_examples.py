"""The examples of what is in no registry."""

import pytest

from kzoo import losses, trainers
from tests.examples import run_example


@pytest.mark.parametrize("name", ["Teacher", "TeacherEnsemble", "TeacherCache", "cache_teacher"])
def test_example(name):
    run_example(getattr(trainers, name))


def test_example_of_the_curves(capsys):
    run_example(losses.temperature_curves)
    assert capsys.readouterr().out.startswith("(3, 2, 3)")
