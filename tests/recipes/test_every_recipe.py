"""`kzoo train --smoke` of every recipe in the tree, on small images of clothes-like sizes."""

import pathlib

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from kzoo.cli import app
from kzoo.recipes import _training_costs, files, schema

APPLICATIONS = pathlib.Path(__file__).parents[2] / "applications"
RECIPES = sorted(path.parent for path in APPLICATIONS.glob("*/recipe.toml"))
QUICK = "fashion-snapshot-ensemble"
pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ten classes of 28x28 grey images, in the place of those that must be installed."""
    root, noise = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name in range(10):
        (root / str(name)).mkdir()
        for number in range(15):
            image = noise.integers(0, 256, (28, 28, 1))
            keras.utils.save_img(root / str(name) / f"{number}.png", image, scale=False)
    return root


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(path, id=path.name, marks=() if path.name == QUICK else pytest.mark.slow)
        for path in RECIPES
    ],
)
def test_smoke(recipe, images, tmp_path, monkeypatch):
    # A fresh process for each row takes long.
    monkeypatch.setattr(_training_costs, "in_fresh_process", _training_costs.measure)
    described, other = schema.load(recipe), []
    if described.data.name == "fashion_mnist":
        other = ["--data.name", f"folder:{images}"]
    words = ["train", recipe, *other, "--smoke", "--out", tmp_path / "run"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    results = files.read_json(tmp_path / "run" / files.RESULTS)
    kept = [name for name, _ in described.smoke().variants()]
    if kept:
        assert [row for row in results["rows"] if row != "teacher"] == kept
    assert all("test" in row for row in results["rows"].values())
    assert (tmp_path / "run" / results["exports"]["saved_model"]["path"]).exists()
