"""What the tests of teacher caches record."""

import pytest

from kzoo import data
from tests.trainers.recorded import model


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", train_size=40)


@pytest.fixture(scope="module")
def teacher():
    return model("teacher", 4, seed=7)
