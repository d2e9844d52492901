"""Record trained weights: file, probe, manifest entry."""

import io
import json
import pathlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import keras
import numpy as np

from kzoo.pretrained import _load, _manifest
from kzoo.whole_file import whole_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_MAX_IMAGES = 64


def add(
    model: keras.Model,
    name: str,
    *,
    application: str,
    args: Mapping[str, Any],
    dataset: str,
    classes: int,
    class_names: Sequence[str],
    metrics: Mapping[str, float],
    recipe: str,
    images: Any,
    folder: str | pathlib.Path | None = None,
) -> _manifest.Record:
    """Record the weights of a trained model under a name.

    Writes `<name>-<sha256[:8]>.weights.h5`, a probe (a few images with the outputs
    of the model) and the entry in the manifest. Every file is written beside its
    place and then renamed, the manifest last, so that a kill at any moment leaves
    the old state or the new one. The same call twice changes nothing; other
    weights under a known name replace the old ones.

    Args:
        model: the trained model, one input and one output.
        name: name of the run.
        application: name of the constructor in `kzoo.applications`.
        args: arguments of that constructor, as JSON can hold them.
        dataset: what it was trained on.
        classes: number of classes.
        class_names: their names, in the order of the outputs.
        metrics: what was measured.
        recipe: the recipe that made it.
        images: 1 to 64 images for the probe, as the model takes them.
        folder: where to write; `kzoo.pretrained.folder()` by default.

    Returns:
        The record.

    Raises:
        ValueError: for arguments that do not fit each other, and outputs that are
            not finite.
        OSError: where the folder cannot be written.
    """
    root = _manifest.root(folder)
    images = np.asarray(images, "float32")
    _check(model, name, classes, class_names, images)
    outputs = _load.predict(model, images)
    if not np.all(np.isfinite(outputs)):
        raise ValueError(f"The model {model.name!r} gives NaN or infinity on the probe's images.")
    content, sha256 = _weights_bytes(model)
    new = _manifest.Record(
        name=name,
        file=f"{name}-{sha256[:8]}{_manifest.SUFFIX}",
        sha256=sha256,
        application=application,
        args=_plain(args, "args"),
        dataset=dataset,
        classes=int(classes),
        class_names=tuple(str(c) for c in class_names),
        metrics={key: float(value) for key, value in metrics.items()},
        parameters=int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        recipe=str(recipe),
    )
    records = _manifest.available(folder=root)
    old = records.get(name)
    try:
        _replace(root / new.file, content)
        _replace(root / _manifest.PROBES / f"{name}.npz", _probe_bytes(images, outputs))
        manifest = _manifest.to_json({**records, name: new})
        _replace(root / _manifest.MANIFEST, manifest.encode())
        if old is not None and old.file != new.file:
            (root / old.file).unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            f"Cannot record {name!r} in {root} ({error.strerror}). Give a folder that can be "
            "written and has room with `folder=`."
        ) from error
    return new


def _check(model, name, classes, class_names, images):
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"`name` must consist of letters, digits and `._+-`, and begin with a letter or digit. "
            f"Received: name={name!r}"
        )
    if len(class_names) != classes:
        raise ValueError(
            f"`class_names` must have one name for each of the {classes} classes. "
            f"Received: {len(class_names)} names"
        )
    if model.output_shape[-1] != classes:
        raise ValueError(
            f"`classes` must be the number of outputs of the model, {model.output_shape[-1]}. "
            f"Received: classes={classes}"
        )
    if images.shape[1:] != tuple(model.input_shape[1:]) or not 1 <= len(images) <= _MAX_IMAGES:
        raise ValueError(
            f"`images` must be 1 to {_MAX_IMAGES} images of shape {tuple(model.input_shape[1:])}. "
            f"Received: an array of shape {images.shape}"
        )


def _weights_bytes(model):
    """Content and checksum of the weight file, without the state of an optimizer."""
    with tempfile.TemporaryDirectory() as temporary:
        file = pathlib.Path(temporary) / f"full{_manifest.SUFFIX}"
        model.save_weights(file)
        with h5py.File(file, "r") as full:
            groups = [key for key in full if key != "optimizer"]
            if len(groups) < len(full):
                file = pathlib.Path(temporary) / f"model{_manifest.SUFFIX}"
                with h5py.File(file, "w") as model_only:
                    for key in groups:
                        full.copy(key, model_only)
        return file.read_bytes(), _manifest.sha256(file)


def _probe_bytes(images, outputs):
    stream = io.BytesIO()
    np.savez(stream, images=images, outputs=outputs)
    return stream.getvalue()


def _plain(value, argument):
    try:
        return json.loads(json.dumps(dict(value)))
    except TypeError as error:
        raise ValueError(
            f"`{argument}` must hold what JSON can hold (numbers, texts, lists): {error}. "
            f"Received: {value}"
        ) from error


def _replace(file, content):
    """Write a whole file; leave one with the same content alone."""
    if file.is_file() and file.read_bytes() == content:
        return
    with whole_file(file) as unfinished:
        unfinished.write_bytes(content)
