"""The weights in the tree are those of the runs beside them."""

import json
import pathlib

import numpy as np
import pytest

from kzoo import applications, data, pretrained
from kzoo.recipes import models
from tests.fashion import needs_fashion_mnist

ROOT = pathlib.Path(__file__).parents[1]
NAMES = sorted(pretrained.available())


def run_of(name):
    return json.loads((ROOT / "applications" / name / "results.json").read_text())


def test_there_are_recorded_weights():
    assert "fashion-densenetbc22" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_constructor_loads_them_by_name_and_they_give_the_probe(name):
    record = pretrained.record(name)
    model = getattr(applications, record.application)(**record.args, weights=name)
    with np.load(pretrained.folder() / "probes" / f"{name}.npz") as probe:
        outputs = np.asarray(model.predict(probe["images"], verbose=0))
        np.testing.assert_allclose(outputs, probe["outputs"], atol=1e-5)
        assert len(probe["images"])


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_repeats_the_results_of_the_run(name):
    record, results = pretrained.record(name), run_of(name)
    row = list(results["rows"].values())[-1]
    (exported,) = [run for run in row["per_seed"] if run["seed"] == results["exported_seed"]]
    assert record.metrics["test_accuracy"] == exported["test"]["accuracy"]
    assert record.parameters == row["parameters"]
    assert (ROOT / record.recipe).is_file()


@pytest.mark.slow
@needs_fashion_mnist
@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_accuracy_is_that_of_the_weights(name):
    record = pretrained.record(name)
    model, _ = models.load(name)
    measured = models.measure(model, data.load(record.dataset), "test")
    assert measured["accuracy"] == pytest.approx(record.metrics["test_accuracy"], abs=3e-4)
