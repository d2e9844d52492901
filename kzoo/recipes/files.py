"""Names of all files of a run, and how they are written: whole or not at all."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from kzoo.whole_file import whole_file

RUN = "run.json"
RESULTS = "results.json"
HISTORY = "history.csv"
CARD = "README.md"
PLOTS = "plots"
EXPORTS = "exports"
TENSORBOARD = "tensorboard"
STATE = "state"
STAGE = "state-of-first-stage"
LOG = "log.json"
WEIGHTS = "model.weights.h5"
METRICS = "metrics.json"
COSTS = "costs.json"


def phase_folder(run: pathlib.Path, seed: int, phase: str) -> pathlib.Path:
    """Where one phase of one seed keeps its state, log, weights and metrics."""
    return run / f"seed-{seed}" / folder_name(phase)


def folder_name(phase: str) -> str:
    """The name of a phase's folder."""
    return phase.replace(" ", "-").replace("/", "-")


def writable_folder(path: str | pathlib.Path) -> pathlib.Path:
    """Make a folder and prove that files can be written there.

    Raises:
        ValueError: in one line, where that is not possible.
    """
    path = pathlib.Path(path)
    probe = path / f".write-test-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"Cannot write to {path}: {error.strerror}. Give another folder with --out."
        ) from None
    return path


def write_whole(path: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> None:
    """Let `write` fill a file, whole or not at all.

    Raises:
        ValueError: in one line, where the disk is full or the folder not writable.
    """
    try:
        with whole_file(path) as unfinished:
            write(unfinished)
    except OSError as error:
        raise ValueError(
            f"Could not write {path}: {error.strerror or error}. Free some space or give another "
            "folder with --out, then run the same command again: it continues where it stopped."
        ) from None


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: in one line, for a missing or damaged file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"No {path.name} in {path.parent}. Is the run finished?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and run again.") from None
