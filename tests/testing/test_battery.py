"""Running batteries: reports, expected failures, and things that are not registered."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import testing
from kzoo.testing.subjects import own_arguments, variations
from tests.helpers import value_and_gradients
from tests.testing.healthy import (
    ConvNorm,
    FanNormal,
    Noise,
    SoftKl,
    initializer_entry,
    layer_entry,
    loss_entry,
)
from tests.testing.layer_mutants import DeadWeight, ForgetsArgument, Unregistered


@pytest.mark.parametrize(
    "entry",
    [
        layer_entry(ConvNorm),
        layer_entry(Noise),
        loss_entry(SoftKl),
        initializer_entry(FanNormal),
    ],
    ids=lambda entry: entry.name,
)
def test_healthy_things_pass(entry):
    report = testing.run(entry)
    assert report.passed, str(report)
    assert not {result.check for result in report} & set(testing.HOUSE_RULES)


def test_check_layer_runs_on_a_class_of_your_own():
    report = testing.check_layer(
        ConvNorm, args={"filters": 2}, input_shape=(2, 5, 5, 1), training="statistics"
    )
    assert report.passed, str(report)


def test_a_report_names_the_failures():
    report = testing.run(layer_entry(ForgetsArgument), ["config_round_trip", "shapes"])
    assert not report.passed
    assert [result.status for result in report] == ["failed", "passed"]
    assert [result.check for result in report.failures] == ["config_round_trip"]
    assert "get_config() has no mode" in str(report)
    assert str(report).startswith("layer ForgetsArgument: FAILED")


@pytest.mark.parametrize(
    ("target", "status", "ok"), [(DeadWeight, "xfailed", True), (ConvNorm, "xpassed", False)]
)
def test_expected_failures_are_strict(target, status, ok):
    entry = dataclasses.replace(layer_entry(target), xfail={"gradients": "a known reason"})
    (result,) = testing.run(entry, ["gradients"])
    assert (result.status, result.ok) == (status, ok)
    assert "a known reason" in result.message


def test_an_expected_failure_that_is_skipped_is_reported():
    entry = dataclasses.replace(layer_entry(ConvNorm), xfail={"seeds": "a known reason"})
    (result,) = testing.run(entry, ["seeds"])
    assert result.status == "xpassed"


def test_checks_that_do_not_apply_are_skipped():
    (result,) = testing.run(layer_entry(ConvNorm), ["seeds"])
    assert (result.status, result.ok, result.message) == ("skipped", True, "no noise is declared")


def test_unknown_checks_and_kinds_are_named():
    with pytest.raises(ValueError, match="Did you mean 'gradients'"):
        testing.run(layer_entry(ConvNorm), ["gradient"])
    entry = dataclasses.replace(layer_entry(ConvNorm), xfail={"shape": "a known reason"})
    with pytest.raises(ValueError, match="Did you mean 'shapes'"):
        testing.run(entry)
    with pytest.raises(ValueError, match="Did you mean 'layer'"):
        testing.checks("layers")


def test_a_failing_check_leaves_no_policy_behind():
    testing.run(layer_entry(Unregistered), ["mixed_precision", "registered"])
    assert keras.config.dtype_policy().name == "float32"


def test_resolve_finds_a_path_and_refuses_a_wrong_one():
    entry = testing.resolve(
        "layer", "tests.testing.healthy:Noise", {"rate": 0.1}, (2, 4, 4, 1), training="noise"
    )
    assert entry.target is Noise
    assert testing.run(entry, ["seeds", "config_round_trip"]).passed
    with pytest.raises(ValueError, match=r"no_such_module.*cannot be imported"):
        testing.resolve("layer", "no_such_module:Thing")
    with pytest.raises(ValueError, match=r"'tests\.testing\.healthy:Nois' cannot be imported"):
        testing.resolve("layer", "tests.testing.healthy:Nois")


def test_resolve_takes_a_trainer_and_what_builds_it():
    module = "tests.testing.own_trainer"
    entry = testing.resolve("trainer", f"{module}:SoftOnly", build=f"{module}:build")
    assert testing.run(entry, ["right_variables_move", "frozen_untouched"]).passed


def test_resolve_asks_for_the_shape():
    with pytest.raises(ValueError, match="Give an input shape"):
        testing.resolve("layer", "tests.testing.healthy:Noise")


def test_what_is_not_declared_of_your_own_is_not_checked():
    report = testing.check_layer(ConvNorm, args={"filters": 2})
    assert report.passed, str(report)
    assert [r.status for r in report if r.check == "training_mode"] == ["skipped"]


def test_vectors_have_no_other_sizes():
    report = testing.check_layer(Noise, input_shape=(4, 5), training="noise")
    assert report.passed, str(report)


def test_resolve_gives_a_loss_the_shape_on_both_sides():
    entry = testing.resolve("loss", "tests.testing.healthy:SoftKl", {}, (4, 5), per_sample=True)
    assert testing.run(entry).passed


def test_variations_change_one_argument_each():
    found = dict(variations(layer_entry(ConvNorm)))
    assert set(found) == set(own_arguments(ConvNorm)) == {"filters", "activation", "mode"}
    assert found["mode"] == {"filters": 3, "mode": "valid"}
    assert found["filters"] == {"filters": 4}


def test_value_and_gradients():
    variable = keras.Variable(np.array([2.0, 3.0], "float32"))
    x = np.array([5.0, 7.0], "float32")
    value, (by_variable,), (by_x,) = value_and_gradients(
        lambda t: ops.sum(variable * t * t), [variable], [x]
    )
    assert value == pytest.approx(2 * 25 + 3 * 49)
    np.testing.assert_allclose(by_variable, x * x)
    np.testing.assert_allclose(by_x, [20.0, 42.0])
