"""The manifest of the recorded weights: `manifest.json` beside the files it names."""

import dataclasses
import hashlib
import importlib.resources
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from kzoo import registry

MANIFEST = "manifest.json"
PROBES = "probes"
SUFFIX = ".weights.h5"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Record:
    """One recorded weight file.

    Attributes:
        name: the name of the run.
        file: the file's name, `<name>-<first 8 digits of sha256>.weights.h5`.
        sha256: checksum of the file.
        application: name of the constructor in `kzoo.applications`.
        args: arguments of that constructor.
        dataset: what it was trained on.
        classes: number of classes.
        class_names: their names, in the order of the outputs.
        metrics: what was measured, for example `{"test_accuracy": 0.98}`.
        parameters: number of trainable parameters.
        recipe: the recipe that made it, as a path in the repository.
    """

    name: str
    file: str
    sha256: str
    application: str
    args: Mapping[str, Any]
    dataset: str
    classes: int
    class_names: tuple[str, ...]
    metrics: Mapping[str, float]
    parameters: int
    recipe: str


def folder() -> pathlib.Path:
    """The folder of the recorded weights: the data package, or that of a checkout.

    Raises:
        ValueError: where neither is there.
    """
    try:
        return pathlib.Path(str(importlib.resources.files("kzoo.weights")))
    except ModuleNotFoundError:
        checkout = pathlib.Path(__file__).resolve().parents[2] / "weights"
    if not (checkout / MANIFEST).is_file():
        raise ValueError(
            f"The recorded weights are not installed: there is neither a package `kzoo.weights` "
            f"nor {checkout / MANIFEST}. Install kzoo again."
        )
    return checkout


def available(*, folder: str | pathlib.Path | None = None) -> dict[str, Record]:
    """All records by name, in alphabetical order.

    Args:
        folder: where the manifest lies; `kzoo.pretrained.folder()` by default.

    Raises:
        ValueError: for a manifest that cannot be read.
    """
    file = root(folder) / MANIFEST
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']} instead of {VERSION}")
        return {name: _from_json(name, raw) for name, raw in sorted(content["weights"].items())}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} cannot be read as a manifest ({error}). Restore it from version control."
        ) from error


def record(name: str, *, folder: str | pathlib.Path | None = None) -> Record:
    """The record of that name.

    Args:
        name: name of a recorded run.
        folder: where the manifest lies; `kzoo.pretrained.folder()` by default.

    Raises:
        ValueError: for an unknown name; the message offers near names.
    """
    records = available(folder=folder)
    if name not in records:
        raise ValueError(f"Unknown weights: {name!r}. {registry.suggest(name, records)}")
    return records[name]


def path(name: str, *, folder: str | pathlib.Path | None = None) -> pathlib.Path:
    """The weight file of that name, after its checksum was verified.

    Args:
        name: name of a recorded run.
        folder: where the manifest lies; `kzoo.pretrained.folder()` by default.

    Raises:
        ValueError: for an unknown name and a file that is missing or damaged.
    """
    found = record(name, folder=folder)
    file = root(folder) / found.file
    if not file.is_file():
        raise ValueError(
            f"The weight file of {name!r} is missing: {file}. "
            "Install kzoo again, or restore the file from version control."
        )
    check_sha256(file, found.sha256, "Install kzoo again, or restore it from version control.")
    return file


def check_sha256(file: pathlib.Path, expected: str, mend: str) -> None:
    """Refuse a file whose bytes are not the recorded ones."""
    actual = sha256(file)
    if actual != expected:
        raise ValueError(f"{file} is damaged: its sha256 is {actual}, expected {expected}. {mend}")


def sha256(file: pathlib.Path) -> str:
    """Checksum of a file, in hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def root(chosen: str | pathlib.Path | None) -> pathlib.Path:
    """The folder that was chosen, or the default one."""
    return folder() if chosen is None else pathlib.Path(chosen)


def to_json(records: Mapping[str, Record]) -> str:
    """The text of a manifest."""
    raw = {name: dataclasses.asdict(entry) for name, entry in sorted(records.items())}
    for fields in raw.values():
        del fields["name"]
    return json.dumps({"version": VERSION, "weights": raw}, indent=2) + "\n"


def _from_json(name, raw):
    return Record(name=name, **{**raw, "class_names": tuple(raw["class_names"])})
