"""The files of recorded teacher outputs: what they say of themselves, and how they are checked."""

import hashlib
import json
import os
import pathlib
import re

import keras
import numpy as np

from kzoo.whole_file import whole_file

MANIFEST = "cache.json"
FORMAT = 1
_BLOCK = 1 << 24


def fingerprint_of_teacher(teacher):
    """A digest of what decides a teacher's outputs: its weights, preprocessing and classes."""
    digest = hashlib.sha256()
    for model in teacher.models:
        for variable in model.variables:
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
            digest.update(f"{variable.name}{array.shape}{array.dtype}".encode())
            digest.update(array.tobytes())
    config = {k: v for k, v in teacher.get_config().items() if k in ("classes", "preprocess")}
    members = [fingerprint_of_teacher(m) for m in getattr(teacher, "members", ())]
    digest.update(json.dumps([config, members], sort_keys=True, default=str).encode())
    return digest.hexdigest()


def fingerprint_of_data(dataset, split):
    """A digest of the images of a split, their order and their normalisation."""
    digest = hashlib.sha256(repr((dataset.spec.mean, dataset.spec.std)).encode())
    for array in dataset.raw(split):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def read_manifest(folder):
    """The manifest of a folder, `None` where there is none.

    Raises:
        ValueError: where it is damaged or of another format.
    """
    path = pathlib.Path(folder) / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = found["format"] == FORMAT
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}). Delete the folder and record again."
        ) from None
    if not known:
        raise ValueError(
            f"{path} has format {found['format']}, this version of kzoo reads {FORMAT}. Record "
            "again."
        )
    return found


def write_manifest(folder, manifest):
    """Write it whole or not at all."""
    with whole_file(pathlib.Path(folder) / MANIFEST) as path:
        path.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")


def file_names(taps):
    """One file name for each tap."""
    safe = [re.sub(r"\W+", "-", tap).strip("-") for tap in taps]
    return {tap: f"{i}-{name}.npy" for i, (tap, name) in enumerate(zip(taps, safe, strict=True))}


def allocate(path, shape, dtype):
    """Make a file of zeros for an array, with all its space on the disk.

    Raises:
        OSError: in one line, where there is no room or no permission.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=tuple(shape))
        # A hole in the file would turn a full disk into a crash at some later write.
        with open(path, "r+b") as file:
            if os.name == "posix":
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(
            f"{size / 1e6:.0f} MB for recorded outputs cannot be written to {path}: "
            f"{error.strerror}. Free some space, record fewer taps, or use dtype='float16'."
        ) from None
    return array


def open_array(path, shape, dtype, mode="r"):
    """Map an array of a cache into memory.

    Raises:
        ValueError: for a missing or truncated file, or one of another array.
    """
    try:
        array = np.load(path, mmap_mode=mode)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is missing or truncated ({error}). Record again.") from None
    if array.shape != tuple(shape) or array.dtype != np.dtype(dtype):
        raise ValueError(
            f"{path} holds {array.dtype} of shape {array.shape}, the manifest says {dtype} of "
            f"shape {tuple(shape)}. Delete the folder and record again."
        )
    return array


def sha256(path):
    """Digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
