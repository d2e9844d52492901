"""The files of recorded teacher outputs: what they say of themselves, and how they are checked."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import zipfile

import keras
import numpy as np

from kzoo.whole_file import whole_file

MANIFEST = "cache.json"
PROBE = "probe.npz"
LOCK = ".lock"
FORMAT = 1
_BLOCK = 1 << 24


def fingerprint_of_teacher(teacher):
    """A digest of the weights of a teacher; what else decides its outputs is seen by a probe."""
    digest = hashlib.sha256()
    for model in teacher.models:
        for variable in model.weights:  # not `variables`: seeds differ from process to process
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
            digest.update(f"{variable.name}{array.shape}{array.dtype}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def write_probe(folder, shown):
    """Keep a teacher's outputs for a few images, in float32: NumPy's files know no bfloat16."""
    with whole_file(pathlib.Path(folder) / PROBE) as path:
        np.savez(path, **{name: np.asarray(array, "float32") for name, array in shown.items()})


def same_probe(folder, shown):
    """Whether a teacher shows what the recorded one showed, up to rounding.

    Raises:
        ValueError: for a missing or damaged file.
    """
    path = pathlib.Path(folder) / PROBE
    try:
        with np.load(path) as found:
            known = {name: found[name] for name in found.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is missing or damaged ({error}). Record again.") from None
    return set(known) == set(shown) and all(
        array.shape == shown[name].shape
        and np.allclose(
            array, np.asarray(shown[name], "float32"), rtol=1e-2, atol=1e-2 * np.abs(array).max()
        )
        for name, array in known.items()
    )


@contextlib.contextmanager
def only_one(folder):
    """Keep other processes from recording into a folder at the same time."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    with open(pathlib.Path(folder) / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"Another process is recording into {folder}. Wait for it, or give another path."
            ) from None
        yield


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
        path.write_text(
            json.dumps(manifest, indent=1, sort_keys=True, default=int), encoding="utf-8"
        )


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
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=tuple(shape))
        # A hole in the file would turn a full disk into a crash at some later write.
        with open(path, "r+b") as file:
            if hasattr(os, "posix_fallocate"):  # not everywhere
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(
            f"{size / 1e6:.0f} MB for recorded outputs cannot be written to {path}: "
            f"{error.strerror}. Free some space, record fewer taps, or use dtype='float16'."
        ) from None


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
