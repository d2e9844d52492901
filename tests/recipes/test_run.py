import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from kzoo.recipes import (
    build,
    files,
    markdown,
    models,
    record,
    report,
    run,
    schema,
    temperature,
)

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = {
    "title": "tiny",
    "model": {"name": "DenseNetBC", "args": {"depth": 10, "growth_rate": 2}},
    "teacher": {"name": "DenseNetBC", "args": {"depth": 10, "growth_rate": 4}},
    "data": {"train_size": 96, "batch_size": 32, "augment": "shift", "validation_fraction": 0.1},
    "trainer": {
        "name": "Distiller",
        "args": {"task_weight": 0.1},
        "losses": [{"name": "SoftTargets"}],
    },
    "train": {"epochs": 2, "seeds": [0, 1], "tensorboard": False},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    recipe = schema.Recipe.model_validate(RECIPE)
    return recipe, out, run.train(recipe, out)


@pytest.mark.tensorflow
def test_results_hold_every_phase_and_seed(finished):
    recipe, out, results = finished
    assert list(results["rows"]) == ["teacher", "student alone", "distilled student"]
    for row in results["rows"].values():
        assert [r["seed"] for r in row["per_seed"]] == [0, 1]
        tests = [r["test"]["accuracy"] for r in row["per_seed"]]
        np.testing.assert_allclose(row["test"]["accuracy"], np.mean(tests))
        np.testing.assert_allclose(row["test"]["spread"], np.std(tests, ddof=1))
        assert row["multiply_adds"] > 0
        assert row["latency_ms"] > 0
    assert results == files.read_json(out / files.RESULTS)
    assert results["run_id"] == recipe.run_id


@pytest.mark.tensorflow
def test_alone_and_distilled_start_equal_and_end_apart(finished):
    recipe, out, _ = finished
    spec = build.dataset(recipe.data).spec
    distilled = run.classifier(recipe, out, spec, 0, "distilled student")
    alone = run.classifier(recipe, out, spec, 0, "distilled student")
    alone.load_weights(files.phase_folder(out, 0, "student alone") / files.WEIGHTS)
    differences = [
        np.abs(a - b).max()
        for a, b in zip(alone.get_weights(), distilled.get_weights(), strict=True)
    ]
    assert max(differences) > 1e-4


@pytest.mark.tensorflow
def test_savedmodel_was_compared_in_a_process_without_kzoo(finished):
    _, out, results = finished
    exported = results["exports"]["saved_model"]
    assert exported["fresh_process_error"] <= 1e-5
    assert (out / exported["path"] / "saved_model.pb").exists()


@pytest.mark.tensorflow
def test_history_and_plots_are_written(finished):
    _, out, _ = finished
    header, *lines = (out / files.HISTORY).read_text().splitlines()
    assert header.startswith("seed,phase,epoch,")
    assert len(lines) == 2 * 3 * 2
    assert {p.name for p in (out / files.PLOTS).iterdir()} == {
        "curves.png",
        "accuracy-against-cost.png",
    }


@pytest.mark.tensorflow
def test_a_finished_run_is_read_not_repeated(finished, monkeypatch):
    recipe, out, results = finished
    monkeypatch.setattr(keras.Model, "fit", None)
    assert run.train(recipe, out) == results


@pytest.mark.tensorflow
def test_another_recipe_may_not_use_the_folder(finished):
    recipe, out, _ = finished
    other = recipe.model_copy(update={"train": schema.TrainSection(epochs=3)})
    with pytest.raises(ValueError, match=r"holds the run .* of another recipe"):
        run.train(other, out)


@pytest.mark.tensorflow
def test_a_record_is_no_run_of_another_recipe(finished, tmp_path):
    recipe, out, _ = finished
    (tmp_path / files.RESULTS).write_bytes((out / files.RESULTS).read_bytes())
    other = recipe.model_copy(update={"train": schema.TrainSection(epochs=3)})
    with pytest.raises(ValueError, match=r"holds the run .* of another recipe"):
        run.train(other, tmp_path)


@pytest.mark.tensorflow
def test_a_run_of_another_backend_does_not_go_on(finished, tmp_path):
    recipe, out, _ = finished
    mark = {**files.read_json(out / files.RUN), "backend": "jax"}
    files.write_json(tmp_path / files.RUN, mark)
    with pytest.raises(ValueError, match=r"holds a run on jax.*KERAS_BACKEND=jax"):
        run.train(recipe, tmp_path)


@pytest.mark.tensorflow
def test_a_new_title_needs_no_new_run(finished, monkeypatch):
    recipe, out, results = finished
    monkeypatch.setattr(keras.Model, "fit", None)
    renamed = recipe.model_copy(update={"title": "another", "published": {"paper": 0.5}})
    assert run.train(renamed, out)["title"] == "another"
    assert "Published (paper): 0.5" in report.card(files.read_json(out / files.RESULTS))
    assert run.train(recipe, out) == results


@pytest.mark.tensorflow
def test_the_folder_of_a_run_is_a_model(finished, tmp_path):
    recipe, out, results = finished
    model, name = models.load(out)
    row, seed = results["exported"], results["exported_seed"]
    (expected,) = [r["test"] for r in results["rows"][row]["per_seed"] if r["seed"] == seed]
    assert name == "digits"
    assert models.measure(model, build.dataset(recipe.data), "test") == pytest.approx(expected)
    (tmp_path / files.RESULTS).write_bytes((out / files.RESULTS).read_bytes())
    with pytest.raises(ValueError, match="the folder of a run as `kzoo train` made it"):
        models.load(tmp_path)


@pytest.mark.tensorflow
def test_record_keeps_the_run_beside_its_recipe(finished, tmp_path):
    recipe, out, results = finished
    folder = tmp_path / "applications" / "tiny"
    folder.mkdir(parents=True)
    markers = "<!-- kzoo report: begin -->\n<!-- kzoo report: end -->\n"
    (folder / files.CARD).write_text(markers)
    (tmp_path / files.CARD).write_text(markers)
    record.record(recipe, out, folder)
    assert files.read_json(folder / files.RESULTS) == results
    assert "| distilled student |" in (folder / files.CARD).read_text()
    before = (folder / files.CARD).read_text()
    record.refresh(tmp_path)
    assert (folder / files.CARD).read_text() == before
    assert "[tiny](applications/tiny)" in (tmp_path / files.CARD).read_text()


@pytest.mark.tensorflow
def test_the_study_of_temperatures_pairs_a_student_with_its_own_teacher(finished, monkeypatch):
    _, out, results = finished
    asked, read = [], temperature._logits
    monkeypatch.setattr(
        temperature,
        "_logits",
        lambda phase, run, seed, images: asked.append(seed) or read(phase, run, seed, images),
    )
    temperature.study(out)
    assert asked == [results["exported_seed"]] * 2


@pytest.mark.parametrize("part", ["overview no-run", "overview", "gains no-run"])
def test_what_shows_a_run_that_is_not_recorded_is_refused_before_anything_is_drawn(tmp_path, part):
    (tmp_path / "applications").mkdir()
    page = tmp_path / files.CARD
    page.write_text(f"<!-- kzoo {part}: begin -->\n<!-- kzoo {part}: end -->\n")
    with pytest.raises(ValueError, match=rf"README.md has a part '{part}', but there is"):
        record.refresh(tmp_path)


def test_the_plot_of_a_study_goes_with_the_record(tmp_path):
    run_folder, folder = tmp_path / "run", tmp_path / "application"
    plot = folder / files.PLOTS / temperature.PLOT
    for text in ("first", None):
        made = run_folder / files.PLOTS / temperature.PLOT
        files.writable_folder(made.parent)
        made.write_text(text) if text else made.unlink()
        record._copy_study(run_folder, folder)
        assert (plot.read_text() if text else plot.exists()) == (text or False)


@pytest.mark.parametrize("path", sorted((ROOT / "applications").glob("*/recipe.toml")), ids=str)
def test_every_recipe_is_valid(path):
    recipe = schema.load(path)
    assert recipe.smoke().train.epochs == 1


@pytest.mark.parametrize("path", sorted((ROOT / "applications").glob("*/results.json")), ids=str)
def test_every_card_shows_its_recorded_results(path):
    results = files.read_json(path)
    assert results["run_id"] == schema.load(path.parent).run_id
    assert report.card(results) in (path.parent / files.CARD).read_text()
    assert report.index(path.parents[1]) in (ROOT / files.CARD).read_text()


def test_readme_and_docs_show_recorded_results():
    shown = list(record._shorts(ROOT))
    assert {part.split()[0] for _, part, _ in shown} == {"overview", "gains"}
    for page, _, rows in shown:
        assert markdown.table(rows) in page.read_text()


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(finished, tmp_path):
    recipe, out, results = finished
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(RECIPE))
    program = (
        "import json, sys; from kzoo.recipes import run, schema; "
        "run.train(schema.Recipe.model_validate(json.load(open(sys.argv[1]))), sys.argv[2])"
    )
    command = [sys.executable, "-c", program, str(spec), str(tmp_path / "run")]
    state = files.phase_folder(tmp_path / "run", 0, "distilled student") / files.STATE
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert state.exists()
    assert not (tmp_path / "run" / files.RESULTS).exists()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    again = files.read_json(tmp_path / "run" / files.RESULTS)
    for name, row in results["rows"].items():
        assert again["rows"][name]["test"] == row["test"]
    for seed in recipe.train.seeds:
        whole = files.phase_folder(out, seed, "distilled student") / files.WEIGHTS
        resumed = files.phase_folder(tmp_path / "run", seed, "distilled student") / files.WEIGHTS
        assert whole.read_bytes() == resumed.read_bytes()
