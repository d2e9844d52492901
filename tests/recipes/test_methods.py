"""Methods side by side: one teacher, the same budget, a leaderboard."""

import numpy as np
import pytest

from kzoo.recipes import (
    _training_costs,
    files,
    gains,
    leaderboard,
    markdown,
    overview,
    record,
    report,
    run,
    schema,
    temperature,
)

RECIPE = {
    "title": "tiny",
    "model": {"name": "ResNet", "args": {"depth": 8, "filters": 2}},
    "teacher": {"name": "ResNet", "args": {"depth": 8, "filters": 3}},
    "data": {"train_size": 60, "batch_size": 30, "validation_fraction": 0.1},
    "train": {"epochs": 2, "seeds": [0, 1], "tensorboard": False},
    "companions": [{"name": "SoftTargets", "args": {"weight": 0.5}}],
    "methods": [
        {"name": "cross-entropy"},
        {"name": "soft targets", "losses": [{"name": "KD"}], "companions": False},
        {
            "name": "AB",
            "losses": [
                {
                    "name": "AB",
                    "args": {
                        "teacher_tap": ["stage2", "stage3"],
                        "student_tap": ["stage2", "stage3"],
                        "stage": "pretrain",
                    },
                }
            ],
            "pretrain_epochs": 1,
            "companions": False,
        },
        {
            "name": "CRD",
            "losses": [
                {
                    "name": "CRD",
                    "args": {"weight": {"schedule": "WarmUp", "peak": 0.8, "epochs": 1}},
                }
            ],
        },
        {"name": "no 3", "losses": [{"name": "KD"}], "omit_classes": [3], "companions": False},
        {"name": "few", "train_size": 20, "epochs": 1, "against": "cross-entropy"},
    ],
}
ROWS = ["cross-entropy", "soft targets", "AB", "CRD", "CRD + SoftTargets", "no 3", "few"]
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("methods")
    recipe = schema.Recipe.model_validate(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        # A fresh process for each row takes long; one test below starts one.
        patch.setattr(_training_costs, "in_fresh_process", _training_costs.measure)
        return recipe, out, run.train(recipe, out)


def test_every_method_is_a_row_and_the_teacher_is_trained_once(finished):
    _, out, results = finished
    assert list(results["rows"]) == ["teacher", *ROWS]
    for name in ROWS:
        assert [r["seed"] for r in results["rows"][name]["per_seed"]] == [0, 1]
    assert [r["seed"] for r in results["rows"]["teacher"]["per_seed"]] == [0]
    assert not (out / "seed-1" / "teacher").exists()
    assert results["rows"]["CRD + SoftTargets"]["losses"] == [
        "SoftTargets", "ContrastiveRepresentation",
    ]  # fmt: skip
    assert results["exported"] in ROWS


def test_diagnostics_of_the_last_epoch_are_in_the_results(finished):
    rows = finished[2]["rows"]
    last = rows["CRD + SoftTargets"]["per_seed"][0]["last_epoch"]
    assert {"task_loss", "soft_targets", "contrastive_representation"} <= set(last)
    assert {"teacher_accuracy", "agreement"} <= set(last)
    # The schedule of the weight ends at its peak after one epoch: the term is not zero.
    assert last["contrastive_representation"] > 0


def test_the_first_stage_is_part_of_the_budget_and_of_the_record(finished):
    _, out, results = finished
    stage = results["rows"]["AB"]["per_seed"][0]["first_stage"]
    assert stage["activation_boundary"] > 0
    assert 0 < stage["activation_boundary_sign_disagreement"] < 1
    for name, epochs in (("AB", 1), ("cross-entropy", 2), ("few", 1)):
        assert len(files.read_json(out / "seed-0" / name / files.LOG)["loss"]) == epochs


def test_an_omitted_class_is_missed_and_its_bias_corrected(finished):
    found = finished[2]["rows"]["no 3"]["per_seed"][0]["omitted"]
    assert found["classes"] == [3]
    assert found["omitted"]["images"] == np.sum(np.asarray(_labels()) == 3)
    assert found["omitted"]["after"] <= found["omitted"]["before"]


def _labels():
    from kzoo import data

    return data.load("digits").arrays("test")[1]


def test_the_leaderboard(finished):
    results = finished[2]
    header, *rows = report.rows_of(results)
    assert header == list(leaderboard.COLUMNS)
    assert {row[0] for row in rows} == {*ROWS, "teacher"}
    means = [results["rows"][row[0]]["test"]["accuracy"] for row in rows[:-1]]
    assert means == sorted(means, reverse=True)
    cells = {row[0]: row for row in rows}
    gain = leaderboard.differences(results, "CRD", "soft targets")
    assert cells["CRD"][2] == f"{np.mean(gain):+.2f} ± {np.std(gain, ddof=1):.2f}"
    assert cells["soft targets"][2] == "-"
    assert int(cells["CRD"][5].replace(",", "")) > 0 == int(cells["cross-entropy"][5])
    text = " ".join(report.conclusions(results))
    for name in ROWS:
        assert name in text
    assert "test images of the omitted class" in text
    assert leaderboard.baseline(results, "few") == "cross-entropy"
    assert leaderboard.shown_row(results) == results["exported"]


def test_plots_and_history(finished):
    _, out, _ = finished
    for name in ("curves", "leaderboard"):
        assert (out / files.PLOTS / f"{name}.png").stat().st_size > 5000
    assert (out / files.HISTORY).read_text().count("CRD + SoftTargets") == 4


def test_an_overview_is_redrawn_in_readme_and_docs(finished, tmp_path):
    recipe, out, results = finished
    folder = tmp_path / "applications" / "tiny"
    folder.mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    part = "<!-- kzoo {0}: begin -->\n<!-- kzoo {0}: end -->\n"
    pages = [tmp_path / "README.md", tmp_path / "docs" / "page.md"]
    pages[0].write_text(part.format("report") + part.format("overview tiny"))
    pages[1].write_text(part.format("overview tiny") + part.format("gains tiny"))
    record.record(recipe, out, folder)
    record.refresh(tmp_path)
    for page in pages:
        assert markdown.table(overview.table(results)) in page.read_text()
    link = "[tiny](../applications/tiny)"
    assert markdown.table(gains.table({link: results})) in pages[1].read_text()


def test_gains_are_those_of_the_leaderboard(finished):
    results = finished[2]
    header, *lines = gains.table({"tiny": results})
    differences = {row[0]: row[2] for row in report.rows_of(results)[1:]}
    assert "CRD" in {line[1] for line in lines}
    for line in lines:
        cells = dict(zip(header, line, strict=True))
        assert cells["difference"].startswith(differences[cells["method"]])
        assert cells["difference"].endswith(("better", "worse", "not told apart"))


def test_a_finished_run_is_only_read(finished):
    recipe, out, results = finished
    assert run.train(recipe, out) == results


def test_costs_come_from_a_fresh_process(finished):
    recipe, out, _ = finished
    costs = _training_costs.in_fresh_process(recipe, "CRD", out)
    assert costs["step_ms"] > 0
    assert costs["peak_bytes"] > 5e7
    assert costs["extra_parameters"] == 2 * 128 + 8 * 128 + 12 * 128
    with pytest.raises(ValueError, match=r"Measuring 'nothing' failed.*run the same command"):
        _training_costs.in_fresh_process(recipe, "nothing", out)


def test_the_temperature_study_draws_teacher_and_student(finished):
    _, out, _ = finished
    curves, path = temperature.study(out)
    assert path.stat().st_size > 5000
    assert curves["probabilities"].shape[0] == len(temperature.TEMPERATURES)
    assert len(temperature.table(curves)) == 6


def test_memory_is_compared_with_the_same_model_on_the_labels_alone():
    def row(losses, parameters, megabytes):
        training = {"step_ms": 1.0, "peak_bytes": megabytes << 20, "extra_parameters": 0}
        test = {"accuracy": 0.5, "spread": None}
        per_seed = [{"seed": 0, "test": test}]
        facts = {"losses": losses, "parameters": parameters, "training": training}
        return {**facts, "test": test, "per_seed": per_seed}

    rows = {
        "small": row([], 10, 100),
        "large": row([], 20, 300),
        "small, taught": row(["SoftTargets"], 10, 150),
        "large, taught": row(["SoftTargets"], 20, 310),
    }
    results = {"recipe": {"methods": [{"name": name} for name in rows]}, "rows": rows}
    memory = {line[0]: line[4] for line in leaderboard.table(results)[1:]}
    assert memory == {"small": "+0", "large": "+0", "small, taught": "+50", "large, taught": "+10"}
    assert leaderboard.common_baseline(results) is None
    assert leaderboard.conclusions(results) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"losses": [{"name": "AT", "args": {"exponnent": 2}}]}, "exponnent"),
        ({"losses": [{"name": "KD"}], "args": {"task_wieght": 0.1}}, "task_wieght"),
        ({"losses": [{"name": "AT", "args": {"teacher_tap": ["stage9"]}}]}, "stage9"),
        ({"losses": [{"name": "KD"}], "pretrain_epochs": 1}, "stage"),
        ({"losses": [{"name": "KD"}], "omit_classes": [99]}, "99"),
        ({"model": {"name": "ResNet", "args": {"depth": 9}}}, "depth"),
    ],
)
def test_what_cannot_be_trained_is_an_error_before_any_training(tmp_path, wrong, message):
    fields = {**RECIPE, "methods": [*RECIPE["methods"], {"name": "late", **wrong}]}
    with pytest.raises(ValueError, match=message) as caught:
        run.train(schema.Recipe.model_validate(fields), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_bias_needs_a_validation_split_before_any_training(tmp_path):
    fields = {**RECIPE, "data": {**RECIPE["data"], "validation_fraction": 0.0}}
    with pytest.raises(ValueError, match="validation_fraction above 0"):
        run.train(schema.Recipe.model_validate(fields), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_method_that_becomes_nan_is_recorded_and_the_others_go_on(tmp_path):
    wild = {"name": "wild", "losses": [{"name": "KD", "args": {"weight": 1e38}}]}
    fields = {**RECIPE, "methods": [wild, {"name": "cross-entropy"}], "companions": []}
    fields["train"] = {"epochs": 1, "seeds": [0], "tensorboard": False}
    recipe = schema.Recipe.model_validate(fields)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_training_costs, "in_fresh_process", _training_costs.measure)
        results = run.train(recipe, tmp_path)
    (diverged,) = results["rows"]["wild"]["per_seed"]
    assert "the loss is not finite at epoch 1" in diverged["diverged"]
    assert results["exported"] == "cross-entropy"
    assert results["rows"]["wild"]["weights_bytes"] is None
    assert report.rows_of(results)[2][:2] == ["wild", "diverged: 1 of 1 seeds"]
    assert "wild became NaN" in report.card(results)
    # What is known is not tried again.
    (tmp_path / files.RESULTS).unlink()
    assert run.train(recipe, tmp_path)["rows"]["wild"]["per_seed"] == [diverged]


def test_a_teacher_that_becomes_nan_ends_the_run(tmp_path):
    fields = {**RECIPE, "optimizer": {"name": "SGD", "learning_rate": 1e30}}
    with pytest.raises(ValueError, match="the loss is not finite"):
        run.train(schema.Recipe.model_validate(fields), tmp_path)
