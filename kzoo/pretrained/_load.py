"""Load recorded weights, or a file of the user's, into a model."""

import pathlib
import tempfile
import zipfile

import h5py
import keras
import numpy as np

from kzoo import registry
from kzoo.pretrained import _manifest

_HEAD = "logits"


def load_weights(
    model: keras.Model,
    name_or_path: str | pathlib.Path,
    *,
    probe: bool = False,
    folder: str | pathlib.Path | None = None,
) -> None:
    """Load recorded weights by name, or a `.weights.h5` file by path.

    The file is compared with the model before anything is loaded, and where
    loading fails nevertheless, the model gets its old values back: a model is
    never left half loaded. The state of an optimizer is neither read nor changed.
    A model without its top (without a layer `logits`) takes its part of a file
    that has one.

    Args:
        model: a built model.
        name_or_path: a name in `available()`, or a path.
        probe: whether to run `verify` afterwards; for a recorded name only.
        folder: where the manifest lies; `kzoo.pretrained.folder()` by default.

    Raises:
        ValueError: for an unknown name; a file that is missing, damaged or
            truncated; arrays that are not those of the model.

    Example:

    ```python
    import keras
    from kzoo import pretrained

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="logits")])
    model.save_weights("example.weights.h5")
    pretrained.load_weights(model, "example.weights.h5")
    ```
    """
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} is not built, so it has no weights to load into. "
            "Call it on a batch first."
        )
    file, record = _find(name_or_path, folder)
    if probe and record is None:
        raise ValueError(f"`probe=True` needs a recorded name. Received: {str(name_or_path)!r}")
    hint = f" {record.name!r} is a {record.application} with {dict(record.args)}." if record else ""
    _compare(model, file, hint)
    old = [keras.ops.convert_to_numpy(v) for v in model.variables]
    try:
        _load(model, file)
        if probe:
            verify(record.name, model, folder=folder)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        for variable, value in zip(model.variables, old, strict=True):
            variable.assign(value)
        if isinstance(error, ValueError):
            raise
        raise ValueError(_unreadable(file, error)) from error


def verify(
    name: str,
    model: keras.Model,
    *,
    tolerance: float = 1e-4,
    folder: str | pathlib.Path | None = None,
) -> float:
    """Compare a model with the outputs that were recorded beside its weights.

    Args:
        name: name of a recorded run.
        model: the model with these weights loaded.
        tolerance: largest difference allowed.
        folder: where the manifest lies; `kzoo.pretrained.folder()` by default.

    Returns:
        The largest absolute difference on the recorded images.

    Raises:
        ValueError: where the outputs differ by more than `tolerance`, or the model
            does not take the recorded images.
    """
    record = _manifest.record(name, folder=folder)
    file = _manifest.root(folder) / _manifest.PROBES / f"{record.name}.npz"
    try:
        with np.load(file) as stored:
            images, expected = stored["images"], stored["outputs"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The probe {file} cannot be read ({error}). Install kzoo again."
        ) from error
    if tuple(model.input_shape[1:]) != images.shape[1:]:
        raise ValueError(
            f"The probe of {name!r} holds images {images.shape[1:]}. Received a model that takes "
            f"{tuple(model.input_shape[1:])}. Build {record.application} with {dict(record.args)}."
        )
    outputs = predict(model, images)
    if outputs.shape != expected.shape:
        raise ValueError(
            f"The probe of {name!r} expects outputs {expected.shape}. Received: {outputs.shape}. "
            f"Build {record.application} with {dict(record.args)}."
        )
    difference = float(np.max(np.abs(outputs - expected)))
    if not difference <= tolerance:
        raise ValueError(
            f"The outputs of {name!r} differ from the recorded ones by {difference:.3g}, more than "
            f"{tolerance:g}. Load the recorded weights, and leave the constructor's arguments."
        )
    return difference


def predict(model, images):
    """Outputs at inference, as float32."""
    outputs = model(keras.ops.convert_to_tensor(images), training=False)
    return keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))


def arrays(file):
    """`{path in the file: (shape, layer name)}` of a weight file, without an optimizer."""
    found = {}

    def visit(path, item):
        if isinstance(item, h5py.Dataset) and not path.startswith("optimizer/"):
            found[path] = (tuple(item.shape), str(item.parent.attrs.get("name", "")))

    with h5py.File(file, "r") as opened:
        opened.visititems(visit)
    return found


def _find(name_or_path, folder):
    """`(file, record)`; the record is `None` for a file that is not recorded."""
    records = _manifest.available(folder=folder)
    name = str(name_or_path)
    if name in records:
        return _manifest.path(name, folder=folder), records[name]
    file = pathlib.Path(name_or_path).expanduser()
    if not file.is_file():
        looks_like_path = file.suffix or len(file.parts) > 1
        mend = "Give the path of a file that exists." if looks_like_path else ""
        raise ValueError(
            f"There are no recorded weights and no file called {name!r}. "
            f"{mend or registry.suggest(name, records)}"
        )
    if not file.name.endswith(_manifest.SUFFIX):
        raise ValueError(
            f"A weight file must end in {_manifest.SUFFIX!r}. Received: {name!r}. "
            "Make one with model.save_weights(...)."
        )
    for record in records.values():
        if record.file == file.name:
            _manifest.check_sha256(file, record.sha256, "Copy or download it again.")
            return file, record
    return file, None


def _compare(model, file, hint):
    """Refuse a file whose arrays are not exactly those of the model."""
    try:
        stored = arrays(file)
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(_unreadable(file, error)) from error
    with tempfile.TemporaryDirectory() as temporary:
        own = pathlib.Path(temporary) / f"own{_manifest.SUFFIX}"
        model.save_weights(own)
        needed = arrays(own)
    for path, (shape, layer) in needed.items():
        if path not in stored:
            raise ValueError(
                f"{file} does not fit the model {model.name!r}: it has no array for layer "
                f"{layer!r} ({path}, shape {shape}).{hint} Build the model that was saved."
            )
        if stored[path][0] != shape:
            raise ValueError(
                f"{file} does not fit the model {model.name!r}: for layer {layer!r} ({path}) the "
                f"model needs shape {shape}, the file has {stored[path][0]}.{hint} "
                "Build the model that was saved, with the same arguments."
            )
    surplus = sorted(stored.keys() - needed.keys())
    if surplus and not (_has_head(stored) and not _has_head(needed)):
        raise ValueError(
            f"{file} does not fit the model {model.name!r}: it holds {len(surplus)} arrays more, "
            f"first that of layer {stored[surplus[0]][1]!r} ({surplus[0]}).{hint} "
            "Build the model that was saved."
        )


def _has_head(found):
    return any(layer == _HEAD for _, layer in found.values())


def _load(model, file):
    optimizer = getattr(model, "optimizer", None)
    model.load_weights(file, objects_to_skip=[optimizer] if optimizer is not None else None)


def _unreadable(file, error):
    reason = str(error).strip().splitlines()[0]
    return (
        f"{file} is damaged or no weight file ({reason}); its sha256 is {_manifest.sha256(file)}, "
        f"its size {file.stat().st_size} bytes. Copy or download it again."
    )
