import pathlib

import pytest
import rich.console
from typer.testing import CliRunner

from kzoo import registry
from kzoo.cli import app

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "applications" / "digits-densenetbc.soft-targets")


@pytest.fixture
def kzoo(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, code=0):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output

    return run


@pytest.mark.parametrize(
    "command", ["list", "show", "train", "evaluate", "export", "check", "report"]
)
def test_each_command_explains_itself(kzoo, command):
    assert "Usage" in kzoo(command, "--help")


def test_train_help_lists_the_flags_of_the_schema(kzoo):
    assert "--train.epochs" in kzoo("train", "--help")


def test_list_shows_names_and_aliases(kzoo):
    output = kzoo("list", "loss")
    assert "SoftTargets" in output
    assert "FitNets" in output
    assert "DropBlock2D" not in output


def test_names_and_sources_are_whole_at_eighty_columns(kzoo, monkeypatch):
    monkeypatch.setattr("kzoo.cli.list.console", rich.console.Console(width=80))
    output = kzoo("list")
    for entry in registry.entries():
        assert entry.name in output
        assert entry.paper in output
    assert "fashion-densenetbc22" in kzoo("list", "weights")


def test_show_finds_what_a_reader_of_the_papers_looks_for(kzoo):
    output = kzoo("show", "FitNets")
    assert "loss Hint" in output
    assert "Args" in output


def test_unknown_names_are_one_line_with_the_nearest_name(kzoo):
    output = kzoo("show", "DropBlok", code=2)
    assert output.count("\n") == 1
    assert "Did you mean 'DropBlock" in output


def test_an_unknown_recipe_key_is_one_line(kzoo):
    output = kzoo("train", DEMO, "--train.epoch", "3", code=2)
    assert output.count("\n") == 1
    assert "Did you mean 'epochs'" in output


def test_an_unwritable_folder_is_one_line(kzoo, tmp_path):
    (tmp_path / "file").write_text("")
    output = kzoo("train", DEMO, "--smoke", "--out", tmp_path / "file" / "run", code=2)
    assert "Cannot write to" in output
    assert output.count("\n") == 1


def test_record_refuses_changed_recipes(kzoo):
    assert "drop the other flags" in kzoo("train", DEMO, "--smoke", "--record", code=2)


def test_evaluate_names_recorded_models_where_the_name_is_unknown(kzoo):
    output = kzoo("evaluate", "no-such-model", code=2)
    assert "no-such-model" in output


def test_a_damaged_model_file_is_one_line(kzoo, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK nothing")
    output = kzoo("evaluate", path, "--data", "digits", code=2)
    assert "model.keras could not be loaded" in output
    assert output.count("\n") == 1


@pytest.mark.tensorflow
def test_train_report_evaluate_and_export_work_together(kzoo, tmp_path):
    out = tmp_path / "run"
    output = kzoo("train", DEMO, "--smoke", "--out", out)
    assert "distilled student" in output
    assert "Distillation changed" in output
    assert "Drawn" in kzoo("report", out)
    assert "Finished before" in kzoo("train", DEMO, "--smoke", "--out", out)


@pytest.mark.tensorflow
def test_a_file_can_be_evaluated_and_exported(kzoo, tmp_path):
    import kzoo as package

    model = package.applications.DenseNetBC(depth=10, growth_rate=2, input_shape=(8, 8, 1))
    model.save(tmp_path / "model.keras")
    output = kzoo("evaluate", tmp_path / "model.keras", "--data", "digits")
    assert "accuracy" in output
    exported = tmp_path / "saved"
    kzoo("export", tmp_path / "model.keras", exported, "--data", "digits")
    assert (exported / "saved_model.pb").exists()
    assert "kzoo:" in kzoo("export", tmp_path / "model.keras", exported, code=2)


def test_check_runs_the_battery(kzoo):
    output = kzoo("check", "layer", "DropPath")
    assert "passed" in output


def test_check_takes_a_class_of_ones_own_and_what_it_declares(kzoo):
    own = ("check", "layer", "tests.testing.healthy:Noise", "--input-shape", "4,5")
    output = kzoo(*own, "--args", '{"rate": 0.1}', "--fact", "training=noise", "--fact", "rank=2")
    assert "passed" in output
    # Declared as something else, the same layer fails.
    assert "failed" in kzoo(*own, "--args", '{"rate": 0.9}', "--fact", "training=same", code=1)


def test_check_asks_how_a_trainer_of_ones_own_is_built(kzoo):
    output = kzoo("check", "trainer", "tests.testing.own_trainer:SoftOnly", code=2)
    assert "Give the function that builds a trainer" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--args", "{rate"), "--args must be JSON"),
        (("--input-shape", "4x5"), "--input-shape must be numbers with commas"),
        (("--fact", "training"), "--fact must be name=value"),
        (("--build", "nowhere:thing", "--input-shape", "4,5"), "'nowhere:thing' cannot be"),
    ],
)
def test_wrong_options_of_check_are_one_line(kzoo, words, message):
    output = kzoo("check", "layer", "tests.testing.healthy:Noise", *words, code=2)
    assert message in output
    assert output.count("\n") == 1


def test_check_refuses_options_that_a_registered_name_would_ignore(kzoo):
    output = kzoo("check", "layer", "DropPath", "--fact", "training=same", code=2)
    assert "declares its own" in output
