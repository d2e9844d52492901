"""Trained models by name or file."""

import pathlib

import keras

from kzoo import pretrained, registry
from kzoo.recipes import build, files, run, schema
from kzoo.recipes._phase import measure

__all__ = ["load", "measure"]


def load(name_or_path: str):
    """A recorded model by name, what a run exports by its folder, or a `.keras` file.

    Returns:
        `(model, dataset)`; the name of its data set is `None` for a file.

    Raises:
        ValueError: in one line, for an unknown name or a damaged file.
    """
    path = pathlib.Path(name_or_path)
    if path.suffix == ".keras":
        return _load_file(path), None
    if path.is_dir():
        return _of_run(path)
    record = pretrained.record(name_or_path)
    constructor = registry.get("application", record.application).target
    model = constructor(**record.args)
    pretrained.load_weights(model, name_or_path)
    return model, record.dataset


def _of_run(folder):
    results = files.read_json(folder / files.RESULTS)
    recipe = schema.Recipe.model_validate(results["recipe"])
    spec = build.dataset(recipe.data).spec
    seed, row = results["exported_seed"], results["exported"]
    return run.classifier(recipe, folder, spec, seed, row), recipe.data.name


def _load_file(path):
    if not path.exists():
        raise ValueError(
            f"No file {path}. Give a recorded name (`kzoo list weights`), the folder of a run or a "
            ".keras file."
        )
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, KeyError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} could not be loaded ({first}). Save the model again.") from None
