"""The battery of layers, first part: shapes, state, names, saving, one training step."""

import functools
import tempfile
from pathlib import Path

import keras
import numpy as np

from kzoo.registry import Entry
from kzoo.testing.battery import Skip, check, expect
from kzoo.testing.subjects import (
    expect_close,
    expect_finite,
    layer_input,
    make,
    mapped,
    numpy,
    random_array,
    shape_of,
    sub_layers,
)


def functional(entry: Entry, **changes) -> keras.Model:
    """A functional model of one layer of the entry, called `subject`."""
    inputs = mapped(lambda a: keras.Input(a.shape[1:]), layer_input(entry))
    return keras.Model(inputs, make(entry, name="subject", **changes)(inputs), name="model")


@check("layer")
def save_and_load(entry: Entry) -> None:
    """A model with the layer gives the same outputs after a `.keras` round trip."""
    model, x = functional(entry), layer_input(entry)
    for weight in model.weights:
        weight.assign(numpy(weight) + 0.1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    expect(len(loaded.weights) == len(model.weights), "Weights are lost in the `.keras` file.")
    expect_close(loaded(x), model(x), "Output after loading", 1e-6)


@check("layer")
def shapes(entry: Entry) -> None:
    """Eager output, symbolic output and `compute_output_shape` agree."""
    x = layer_input(entry)
    eager = keras.tree.flatten(make(entry)(x))
    computed = _flat_shapes(make(entry).compute_output_shape(shape_of(x)))
    symbols = mapped(lambda a: keras.KerasTensor(a.shape, "float32"), x)
    symbolic = keras.tree.flatten(make(entry)(symbols))
    unknown = keras.tree.flatten(make(entry)(mapped(lambda a: keras.Input(a.shape[1:]), x)))
    for output, spec, shape, open_spec in zip(eager, symbolic, computed, unknown, strict=True):
        found = tuple(output.shape)
        expect(found == shape, f"compute_output_shape gives {shape}, the call {found}.")
        expect(found == spec.shape, f"The symbolic call gives {spec.shape}, the call {found}.")
        name = keras.backend.standardize_dtype(output.dtype)
        expect(name == spec.dtype, f"The symbolic call gives {spec.dtype}, the call {name}.")
        rest = open_spec.shape[1:]
        expect(rest == found[1:], f"With an open batch size the shape is {rest}, not {found[1:]}.")


@check("layer")
def build_creates_state(entry: Entry) -> None:
    """`build` creates every variable; the first calls create none."""
    x = layer_input(entry)
    layer = make(entry)
    layer.build(shape_of(x))
    known = {id(v) for v in layer.variables}
    layer(x, training=False)
    layer(x, training=True)
    new = [v.path for v in layer.variables if id(v) not in known]
    expect(not new, f"Variables that `build` did not create: {new}.")


@check("layer")
def explicit_names(entry: Entry) -> None:
    """Sub-layers and weights have the same names in every instance."""
    first, second = (_names(functional(entry).get_layer("subject")) for _ in range(2))
    changed = [f"{a} / {b}" for a, b in zip(first, second, strict=True) if a != b]
    expect(not changed, f"Automatic names, which differ between two instances: {changed}.")


@check("layer")
def other_sizes(entry: Entry) -> None:
    """One instance takes maps of other sizes, H != W, odd or unknown beforehand."""
    x = layer_input(entry)
    maps = all(a.ndim == 4 for a in keras.tree.flatten(x))
    if not maps or entry.facts.get("rank", 4) != 4 or not entry.facts.get("sizes", True):
        raise Skip("spatial sizes do not apply")
    layer = make(entry)
    inputs = mapped(lambda a: keras.Input((None, None, a.shape[-1])), x)
    model = keras.Model(inputs, make(entry)(inputs))
    for extra in ((0, 0), (1, 4), (3, 0)):
        larger = mapped(functools.partial(_enlarged, extra=extra), x)
        size = mapped(lambda a: a.shape[1:3], larger)
        for training in (False, True):
            output = layer(larger, training=training)
            expected = _flat_shapes(layer.compute_output_shape(shape_of(larger)))
            found = [tuple(o.shape) for o in keras.tree.flatten(output)]
            expect(found == expected, f"Size {size}: shape {found} instead of {expected}.")
            expect_finite(output, f"Output at size {size}")
        expect_finite(model(larger), f"Output at size {size} in a model of open size")


@check("layer")
def fit_step(entry: Entry) -> None:
    """One step of `fit` runs and leaves finite weights."""
    x = layer_input(entry)
    inputs = mapped(lambda a: keras.Input(a.shape[1:]), x)
    scaled = mapped(lambda i: keras.layers.Dense(i.shape[-1])(i), inputs)
    model = keras.Model(inputs, make(entry)(scaled))
    targets = mapped(np.zeros_like, numpy(model(x)))
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    batch = len(keras.tree.flatten(x)[0])
    history = model.fit(x, targets, batch_size=batch, epochs=1, verbose=0).history
    expect_finite(history["loss"], "The loss of a step of fit")
    expect_finite(list(model.weights), "Weights after a step of fit")


def _enlarged(array: np.ndarray, extra: tuple[int, int]) -> np.ndarray:
    """Random values of the array's shape with some more rows and columns."""
    batch, height, width, channels = array.shape
    return random_array((batch, height + extra[0], width + extra[1], channels))


def _names(layer: keras.Layer) -> list[str]:
    weights = [v.path for v in layer.weights]
    return sorted(child.name for child in sub_layers(layer)) + weights


def _flat_shapes(shape) -> list[tuple]:
    """The shapes in what compute_output_shape returns: one shape or a structure of them."""
    is_shape = isinstance(shape, tuple | list) and all(
        size is None or isinstance(size, int) for size in shape
    )
    if is_shape:
        return [tuple(shape)]
    values = shape.values() if isinstance(shape, dict) else shape
    return [flat for value in values for flat in _flat_shapes(value)]
