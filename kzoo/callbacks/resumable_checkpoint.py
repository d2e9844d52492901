"""Write all state after an epoch, so that a killed training goes on as if nothing had happened."""

import hashlib
import json
import math
import pathlib
import secrets
import sys

import keras
import numpy as np

from kzoo.callbacks import _generators
from kzoo.callbacks._arrays import array, finite
from kzoo.registry import register
from kzoo.whole_file import whole_file

_MANIFEST = "checkpoint.json"


@register("callback", tiny={"build": lambda: ResumableCheckpoint("checkpoints")})
class ResumableCheckpoint(keras.callbacks.Callback):
    """Writes the whole state of a training at the end of epochs, and brings it back.

    Use it for every run that may be killed. The state is: all weights (those of
    projectors too), the optimiser's slots and step counter, the state of every
    `SeedGenerator` (dropout; Keras' own files leave it out) and of torch's generators, the
    history and the number of epochs done. A run that is killed, built again by the same code,
    restored and continued ends with the same weights, bit for bit, as one that was
    never interrupted, provided that

    - the data of an epoch depend on the epoch and a seed alone: the pipelines of `kzoo.data`
      take `first_epoch`; give `fit` `shuffle=False`, because it would shuffle arrays and the
      batches of a `PyDataset` by a state of its own,
    - the computation itself repeats bit for bit (it does on CPU), and
    - no other callback keeps state of its own (`EarlyStopping` does).

    A checkpoint is written beside the old one, flushed to the disk and then renamed; the
    old one is removed after that. A state with NaN is never written. If the disk is
    full, one line says so on stderr, the old checkpoint stays and training goes on.

    Works for any `keras.Model`, on any backend. A frozen teacher is not part of the state.

    Args:
        folder: where the files go; made if needed. One folder for one run.
        every: `"epoch"`, or a number of epochs. The last epoch is always written.

    Raises:
        ValueError: for another `every`; in `restore` for a damaged file, or for one that does
            not fit the model.

    Example:

    ```python
    import tempfile
    import keras
    import numpy as np
    import kzoo

    x, y = np.zeros((8, 3)), np.zeros((8, 1))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    checkpoint = kzoo.callbacks.ResumableCheckpoint(tempfile.mkdtemp())
    first = checkpoint.restore(model)  # 0 at the first start
    model.fit(x, y, initial_epoch=first, epochs=2, shuffle=False, callbacks=[checkpoint], verbose=0)
    ```
    """

    def __init__(self, folder, every="epoch"):
        super().__init__()
        number = isinstance(every, int) and not isinstance(every, bool) and every > 0
        if every != "epoch" and not number:
            raise ValueError(
                f"`every` must be 'epoch' or a number of epochs > 0. Received: every={every!r}"
            )
        self.folder = pathlib.Path(folder)
        self.every = every
        self.history = {}
        self._done = self._tried = self._written = 0
        self._broken = False
        self._noise = {}

    def restore(self, model):
        """Bring back the state of the last epoch that was written.

        Args:
            model: the model, built and compiled as when the checkpoint was written.

        Returns:
            The number of epochs done, for `fit(initial_epoch=...)`; 0 without a checkpoint.
        """
        if not (self.folder / _MANIFEST).exists():
            return 0
        manifest = self._read_manifest()
        _ensure_built(model)
        variables = _variables(model)
        arrays = self._read_arrays(manifest)
        _check_fits(self.folder, manifest["variables"], variables)
        for i, variable in enumerate(variables):
            variable.assign(arrays[str(i)])
        self._noise = {n: a for n, a in arrays.items() if n.startswith("generator_")}
        self.history = manifest["history"]
        self._done = self._tried = self._written = manifest["epoch"]
        return manifest["epoch"]

    def on_train_begin(self, logs=None):
        """Bring back torch's generators: building the model has drawn from them by now."""
        _generators.write(self._noise)
        self._noise = {}

    def on_epoch_end(self, epoch, logs=None):
        """Write, where it is time."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(logs.get("loss", 0.0)):
            self._broken = True
            self._say(f"The loss of epoch {epoch + 1} is not finite, so it was not checkpointed")
            return
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        self._done = epoch + 1
        if self.every == "epoch" or self._done % self.every == 0:
            self.write()

    def on_train_end(self, logs=None):
        """Write the last epoch, if `every` left it out."""
        if self._done > self._tried and not self._broken:
            self.write()

    def write(self):
        """Write the state now; return whether it was written."""
        self._tried = self._done
        variables = _variables(self.model)
        arrays = {str(i): array(v) for i, v in enumerate(variables)}
        bad = [v.path for v, a in zip(variables, arrays.values(), strict=True) if not finite(a)]
        if bad:
            self._say(
                f"Epoch {self._done} was not checkpointed: {len(bad)} variables hold NaN or "
                f"infinity, the first is {bad[0]}"
            )
            return False
        try:
            self._write(arrays | _generators.read(), [_describe(v) for v in variables])
        except OSError as error:
            self._say(
                f"Epoch {self._done} could not be checkpointed in {self.folder} ({error}); "
                "training goes on. Free some disk space or choose another folder"
            )
            return False
        self._written = self._done
        return True

    def _write(self, arrays, description):
        # A name of its own: a new state never overwrites the one that the manifest names.
        name = f"state-{self._done}-{secrets.token_hex(4)}.npz"
        with whole_file(self.folder / name) as unfinished:
            np.savez(unfinished, **arrays)
            digest = _sha256(unfinished)
        manifest = {
            "epoch": self._done,
            "file": name,
            "sha256": digest,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "history": self.history,
            "variables": description,
        }
        with whole_file(self.folder / _MANIFEST) as unfinished:
            unfinished.write_text(json.dumps(manifest, indent=1))
        for other in self.folder.glob("state-*.npz"):
            if other.name != name:
                other.unlink()

    def _read_manifest(self):
        path = self.folder / _MANIFEST
        try:
            return json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(_damaged(path, f"it is no JSON: {error}")) from error

    def _read_arrays(self, manifest):
        path = self.folder / manifest["file"]
        if not path.exists():
            raise ValueError(_damaged(path, "it is missing"))
        digest = _sha256(path)
        if digest != manifest["sha256"]:
            raise ValueError(
                _damaged(path, f"its sha256 is {digest[:8]}, expected {manifest['sha256'][:8]}")
            )
        with np.load(path) as arrays:
            return dict(arrays)

    def _say(self, message):
        kept = f"; the checkpoint of epoch {self._written} was kept" if self._written else ""
        print(f"\n{message}{kept}.", file=sys.stderr)


def _variables(model):
    optimizer = model.optimizer
    return [*model.variables, *(optimizer.variables if optimizer is not None else [])]


def _ensure_built(model):
    if not model.built or model.optimizer is None:
        raise ValueError(
            f"restore() needs a model that is built and compiled. Received: {model.name}, "
            f"built={model.built}. Call model.build(input_shape) and model.compile(...) first."
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _describe(variable):
    return [variable.path, list(variable.shape), str(variable.dtype)]


def _check_fits(folder, saved, variables):
    if len(saved) != len(variables):
        raise ValueError(
            f"The checkpoint in {folder} holds {len(saved)} variables, the model has "
            f"{len(variables)}. Build the model as in the run that wrote it, or use another folder."
        )
    for (path, shape, dtype), variable in zip(saved, variables, strict=True):
        if [shape, dtype] != _describe(variable)[1:]:
            raise ValueError(
                f"The checkpoint in {folder} does not fit the model: {path} has shape {shape} and "
                f"dtype {dtype}, {variable.path} has {list(variable.shape)} and {variable.dtype}. "
                "Build the model as in the run that wrote it, or use another folder."
            )


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path, reason):
    return (
        f"The checkpoint {path} is damaged: {reason}. Delete {path.parent} to start over, or "
        "bring back a copy of it."
    )
