"""Read the weight files of `keras.applications.densenet` into the same network of kzoo."""

import pathlib

import h5py
import numpy as np

from kzoo.layers import DenseBlock, DenseTransition

_FIRST = "stem_conv"
_TOP = "logits"


def is_keras_file(path):
    """Whether this is a readable HDF5 file in the layout of the official weights."""
    path = pathlib.Path(path)
    if not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            return "layer_names" in _root(file).attrs
    except OSError:
        return False


def load_keras_file(model, path):
    """Give `model` the weights of an official file, with or without its classifier.

    Nothing is assigned unless everything fits.

    Raises:
        ValueError: in one line, where the file is damaged or of another network.
    """
    try:
        arrays = _read(path)
    except (OSError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} is damaged ({reason}). Fetch it again.") from error
    layers = weighted_layers(model)
    if layers[-1].name != _TOP and len(arrays) == len(layers) + 1:
        arrays = arrays[:-1]
    if layers[-1].name == _TOP and len(arrays) == len(layers) - 1:
        raise ValueError(
            f"{path} has no classifier. Use include_top=False, or the file without `notop`."
        )
    if len(arrays) != len(layers):
        raise ValueError(
            f"{path} is of another network: it has {len(arrays)} layers with weights, "
            f"{model.name} has {len(layers)}."
        )
    for layer, values in zip(layers, arrays, strict=True):
        _check(layer, values, path)
    for layer, values in zip(layers, arrays, strict=True):
        layer.set_weights(values)


def weighted_layers(model):
    """The convolutions, normalisations and the classifier, in the order of the computation."""
    names = [layer.name for layer in model.layers]
    found = []
    for layer in model.layers[names.index(_FIRST) :]:
        if isinstance(layer, DenseBlock):
            units = layer.convolutions
        elif isinstance(layer, DenseTransition):
            units = [layer.conv]
        else:
            found.extend([layer] if layer.weights else [])
            continue
        found.extend(child for unit in units for child in (unit.norm, unit.conv))
    return found


def _root(file):
    return file.get("model_weights", file)


def _read(path):
    """The arrays of each layer that has some, in the order of the file."""
    with h5py.File(path, "r") as file:
        root = _root(file)
        groups = [root[_text(name)] for name in root.attrs["layer_names"]]
        arrays = [[np.asarray(g[_text(n)]) for n in g.attrs["weight_names"]] for g in groups]
    return [values for values in arrays if values]


def _text(name):
    return name.decode() if isinstance(name, bytes) else name


def _check(layer, values, path):
    expected = [tuple(weight.shape) for weight in layer.weights]
    found = [value.shape for value in values]
    if expected != found:
        raise ValueError(
            f"{path} does not fit: the layer {layer.path} needs arrays of {expected}, the file has "
            f"{found}."
        )
