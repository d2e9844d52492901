"""What ends a fit, and what is kept of it."""

import pickle

import keras
import numpy as np
import pytest

from kzoo.recipes import _fit


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def test_a_divergence_finds_its_way_between_processes():
    error = pickle.loads(pickle.dumps(_fit.Diverged("why", {"loss": [1.0]})))
    assert (str(error), error.history) == ("why", {"loss": [1.0]})


def test_weights_that_the_last_update_broke_are_noticed(model):
    assert _fit._not_finite(model, {"loss": [1.0]}) is None
    model.set_weights([np.array([[1.0], [np.nan]]), np.zeros(1)])
    assert "the last update left weights" in _fit._not_finite(model, {"loss": [1.0]})


def test_a_metric_that_is_no_number_is_named(model):
    assert _fit._not_finite(model, {"loss": [1.0], "val_loss": [np.inf]}).startswith("val_loss")


@pytest.mark.parametrize(
    ("history", "whole"),
    [
        ({"loss": [1.0, 2.0, 3.0], "val_loss": [1.0, np.nan, 1.0]}, 1),
        ({"loss": [np.inf], "val_loss": [1.0]}, 0),
        ({"loss": [1.0, 2.0]}, 2),
        ({}, 0),
    ],
)
def test_the_log_ends_before_the_first_value_that_is_no_number(history, whole):
    assert _fit._finite_epochs(history) == {name: v[:whole] for name, v in history.items()}
