"""The images that verify an export and calibrate int8."""

import keras
import numpy as np

_RANDOM = 8
_CALIBRATION = 256


def verification(model, samples):
    """The user's samples, or random ones of the model's input.

    Raises:
        ValueError: where the model has several inputs or free sizes, or the samples
            do not fit it.
    """
    shape, dtype = _input(model)
    if samples is not None:
        return _fitting(samples, shape, dtype, "samples")
    if shape is None or None in shape:
        raise ValueError(
            f"`samples` is needed to verify the export, because the input shape of {model.name!r} "
            f"is not fixed. Received: samples=None, input shape {shape}. Pass a few images."
        )
    random = np.random.default_rng(0)
    if keras.backend.is_int_dtype(dtype):
        return random.integers(0, 256, (_RANDOM, *shape)).astype(dtype)
    return random.standard_normal((_RANDOM, *shape)).astype(dtype)


def calibration(model, data):
    """Up to 256 images of an array, or of batches (`x` or `(x, y, ...)`).

    Raises:
        ValueError: where there are none, or they do not fit the model.
    """
    if data is None:
        raise ValueError(
            "`representative_data` is needed to quantize: about 100 training images, or a data "
            "set of batches. Received: representative_data=None"
        )
    shape, dtype = _input(model)
    if not isinstance(data, np.ndarray) and not keras.ops.is_tensor(data):
        data = _from_batches(data)
    return _fitting(data[:_CALIBRATION], shape, dtype, "representative_data")


def _from_batches(batches):
    found, count = [], 0
    for batch in batches:
        images = batch[0] if isinstance(batch, tuple | list) else batch
        found.append(keras.ops.convert_to_numpy(images))
        count += len(found[-1])
        if count >= _CALIBRATION:
            break
    return np.concatenate(found) if found else np.zeros((0,))


def _input(model):
    """Shape of one image and dtype of the model's input; no shape for a subclassed model."""
    if not model.built:
        raise ValueError(f"The model {model.name!r} is not built. Call it on a batch first.")
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) > 1:
        raise ValueError(
            f"Only models with one input are exported. {model.name!r} has {len(inputs)}: "
            "use model.export(...)."
        )
    return (inputs[0].shape[1:], inputs[0].dtype) if inputs else (None, "float32")


def _fitting(images, shape, dtype, argument):
    images = keras.ops.convert_to_numpy(images)
    wanted = tuple(shape) if shape is not None else images.shape[1:]
    given = images.shape[1:]
    pairs = zip(given, wanted, strict=False)
    fits = len(given) == len(wanted) and all(w in (None, g) for g, w in pairs)
    if not fits or len(images) == 0:
        raise ValueError(
            f"`{argument}` must be an array of shape {('images', *wanted)}. "
            f"Received: shape {images.shape}"
        )
    return images.astype(dtype)
