"""Small files and arrays for the tests of kzoo.data."""

import gzip
import hashlib
import importlib
import struct

import numpy as np

from kzoo import data

MODULE = importlib.import_module("kzoo.data.fashion_mnist")


def small_raw(train=60, test=20, classes=4, size=6, channels=1, seed=0):
    """Noise whose first pixel tells the number of the image."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (train + test, size, size, channels), dtype="uint8")
    images[:, 0, 0, 0] = np.arange(train + test)
    labels = np.arange(train + test) % classes
    return data.RawData(
        images[:train],
        labels[:train],
        images[train:],
        labels[train:],
        class_names=tuple("abcdefgh"[:classes]),
    )


def idx_bytes(array):
    """An IDX file of bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype("uint8").tobytes()


def write_fashion_mnist(folder, monkeypatch, train=30, test=20, zipped=True):
    """Four small IDX files, which the reader takes for the published ones."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    table, arrays = {}, []
    for name in MODULE.FILES:
        count = train if name.startswith("train") else test
        is_images = "images" in name
        array = generator.integers(0, 256, (count, 28, 28)) if is_images else np.arange(count) % 10
        content = idx_bytes(array)
        table[name] = (array.shape, hashlib.sha256(content).hexdigest(), "")
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
        arrays.append(array)
    monkeypatch.setattr(MODULE, "FILES", table)
    return arrays
