"""Phases side by side: what is one unit, what they leave, how they fail."""

import multiprocessing
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from kzoo.recipes import _jobs, build, plan, run, schema

ROOT = pathlib.Path(__file__).parents[2]
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
on_two_cores = pytest.mark.skipif(len(_jobs._cores()) < 2, reason="needs two cores")


def die(*unit):
    os._exit(1)


def fail(*unit):
    raise ValueError("the disk is full")


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
def test_two_processes_train_what_one_does(tmp_path, monkeypatch):
    recipe = schema.Recipe.model_validate(DISTILLED)
    with monkeypatch.context() as patch:
        # Only in this process: here nothing is trained.
        patch.setattr(keras.Model, "fit", None)
        together = run.train(recipe, tmp_path / "together", jobs=2)
    alone = run.train(recipe, tmp_path / "alone")
    assert together["environment"]["jobs"] == 2
    for name, row in alone["rows"].items():
        for one, other in zip(row["per_seed"], together["rows"][name]["per_seed"], strict=True):
            assert one["seed"] == other["seed"]
            # Sums are ordered by the number of threads.
            np.testing.assert_allclose(one["test"]["loss"], other["test"]["loss"], rtol=1e-3)


@on_two_cores
@pytest.mark.slow
@pytest.mark.tensorflow
def test_what_ends_one_process_ends_all_and_keeps_what_is_finished(tmp_path, monkeypatch):
    recipe = schema.Recipe.model_validate(METHODS)
    for ending, message in (
        (die, r"A process died.* run the same command again"),
        (fail, "the disk is full"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(_jobs, "_train", ending)
            with pytest.raises(ValueError, match=message):
                run.train(recipe, tmp_path, jobs=2)
        assert not multiprocessing.active_children()
    assert set(run.train(recipe, tmp_path, jobs=2)["rows"]) == {"teacher", "labels", "KD"}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_run_leaves_no_process_behind(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    # The pipe ends once nobody holds its other end any more.
    assert parent.communicate(timeout=60)[0] == ""


ORPHANS = """
import concurrent.futures, multiprocessing, os, time
from kzoo.recipes import _jobs

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    shares = context.SimpleQueue()
    shares.put(_jobs._cores())
    pool = concurrent.futures.ProcessPoolExecutor(1, context, _jobs._begin, (shares,))
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600).result()
"""
