"""Phases side by side: what is one unit, what they leave, how they fail."""

import os

import numpy as np
import pytest

from kzoo.recipes import _jobs, build, files, plan, run, schema

DISTILLED = {
    "model": {"name": "ResNet", "args": {"depth": 8, "filters": 2}},
    "teacher": {"name": "ResNet", "args": {"depth": 8, "filters": 3}},
    "trainer": {"name": "Distiller", "losses": [{"name": "KD"}]},
    "data": {"train_size": 60, "batch_size": 30},
    "train": {"epochs": 1, "seeds": [0, 1], "tensorboard": False},
    "export": {"formats": []},
}
METHODS = {
    **{key: value for key, value in DISTILLED.items() if key != "trainer"},
    "methods": [{"name": "labels"}, {"name": "KD", "losses": [{"name": "KD"}]}],
}
on_two_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")


def die(*unit):
    os._exit(1)


def units(fields):
    recipe = schema.Recipe.model_validate(fields)
    return _jobs._units(recipe, plan.phases(recipe, build.dataset(recipe.data).spec))


def test_methods_are_units_of_their_own_and_a_teacher_stays_with_its_student():
    assert units(METHODS) == [(0, ["labels"]), (0, ["KD"]), (1, ["labels"]), (1, ["KD"])]
    whole = ["teacher", "student alone", "distilled student"]
    assert units(DISTILLED) == [(0, whole), (1, whole)]


def test_every_core_belongs_to_one_share():
    shares = _jobs._shares(min(2, len(_jobs._cores())))
    assert sorted(core for share in shares for core in share) == _jobs._cores()


@pytest.mark.parametrize("jobs", [0, -1, 100_000])
def test_jobs_that_the_machine_cannot_serve(jobs, tmp_path):
    with pytest.raises(ValueError, match=r"--jobs must be from 1 to \d+, the cores"):
        run.train(schema.Recipe.model_validate(METHODS), tmp_path, jobs=jobs)
    assert not list(tmp_path.iterdir())


@on_two_cores
@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("fields", [METHODS, DISTILLED], ids=["methods", "distilled"])
def test_two_processes_train_what_one_does(fields, tmp_path):
    recipe = schema.Recipe.model_validate(fields)
    together = run.train(recipe, tmp_path / "together", jobs=2)["rows"]
    alone = run.train(recipe, tmp_path / "alone")["rows"]
    assert list(together) == list(alone)
    for name, row in alone.items():
        for one, other in zip(row["per_seed"], together[name]["per_seed"], strict=True):
            assert one["seed"] == other["seed"]
            # Sums are ordered by the number of threads.
            np.testing.assert_allclose(one["test"]["loss"], other["test"]["loss"], rtol=1e-3)


@on_two_cores
@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_process_that_dies_loses_nothing(tmp_path, monkeypatch):
    recipe = schema.Recipe.model_validate(METHODS)
    with monkeypatch.context() as patch:
        patch.setattr(_jobs, "_train", die)
        with pytest.raises(ValueError, match=r"A process died .* run the same command again"):
            run.train(recipe, tmp_path, jobs=2)
    written = files.phase_folder(tmp_path, 0, "teacher") / files.WEIGHTS
    before = written.stat().st_mtime_ns
    assert set(run.train(recipe, tmp_path, jobs=2)["rows"]) == {"teacher", "labels", "KD"}
    assert written.stat().st_mtime_ns == before
