"""Snapshots of a network in files."""

import json
import pathlib
import sys

import numpy as np

from kzoo.whole_file import whole_file

_MANIFEST = "snapshots.json"


class SnapshotFolder:
    """Writes snapshots, each whole or not at all, and reads those of the same run.

    Args:
        path: the folder; `None` for none, where nothing is written.
    """

    def __init__(self, path):
        self.path = None if path is None else pathlib.Path(path)
        self._written = 0

    def write(self, snapshots, run):
        """Write what is new. A full disk is told on stderr; the next time it is tried again.

        Args:
            snapshots: all snapshots, lists of arrays.
            run: what tells this run from others, a dictionary for JSON.
        """
        if self.path is None:
            return
        try:
            for number in range(self._written + 1, len(snapshots) + 1):
                with whole_file(self._file(number)) as unfinished:
                    np.savez(unfinished, *snapshots[number - 1])
                with whole_file(self.path / _MANIFEST) as unfinished:
                    unfinished.write_text(json.dumps({**run, "snapshots": number}))
                self._written = number
        except OSError as error:
            print(
                f"\nSnapshot {self._written + 1} could not be written to {self.path} ({error}); "
                "training goes on. Free some disk space.",
                file=sys.stderr,
            )

    def keep(self, count):
        """Take later snapshots than the first `count` as not written."""
        self._written = min(self._written, count)

    def read(self, count, run):
        """The first `count` snapshots of the run.

        Raises:
            ValueError: where they are missing or of another run.
        """
        path = None if self.path is None else self.path / _MANIFEST
        if path is None or not path.exists():
            raise ValueError(
                f"The training goes on after {count} cycles, but their snapshots are not there. "
                f"Received: folder={self.path and str(self.path)!r}. Give the `folder` in which "
                "the first part of the run has written them, or start again at epoch 0."
            )
        found, expected = json.loads(path.read_text()), {**run, "snapshots": count}
        same = all(found.get(key) == value for key, value in run.items())
        if not same or found["snapshots"] < count:
            raise ValueError(
                f"The snapshots in {self.path} are not those of this run. Expected: {expected}. "
                f"Received: {found}. Go on with the arguments of that run, or start again at "
                "epoch 0."
            )
        self._written = count
        return [self._arrays(number) for number in range(1, count + 1)]

    def _arrays(self, number):
        with np.load(self._file(number)) as file:
            return list(file.values())

    def _file(self, number):
        return self.path / f"snapshot-{number}.npz"
