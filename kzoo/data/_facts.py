"""The `DatasetSpec` of raw data."""

import numpy as np

from kzoo.data.dataset_spec import DatasetSpec

_CHUNK = 4096


def spec_of(name, raw, sizes):
    """The facts about raw data that is split into `sizes` images."""
    mean, std = _moments(raw.train_images, raw.scale)
    return DatasetSpec(
        name=name,
        image_shape=tuple(raw.train_images.shape[1:]),
        classes=len(raw.class_names),
        class_names=tuple(raw.class_names),
        mean=mean,
        std=std,
        sizes=sizes,
        source=raw.source,
        scale=float(raw.scale),
    )


def _moments(images, scale):
    """Mean and standard deviation per channel, in chunks to spare memory."""
    channels = images.shape[-1]
    total, squares, count = np.zeros(channels), np.zeros(channels), images[..., 0].size
    for start in range(0, len(images), _CHUNK):
        pixels = images[start : start + _CHUNK].reshape(-1, channels).astype("float64")
        total += pixels.sum(axis=0)
        squares += np.einsum("ij,ij->j", pixels, pixels)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0)
    std = np.where(variance > 1e-12 * scale**2, np.sqrt(variance) / scale, 1.0)
    return tuple((mean / scale).tolist()), tuple(std.tolist())
