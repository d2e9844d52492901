"""The battery of applications, first part: what a constructor builds."""

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kzoo.registry import Entry
from kzoo.testing.battery import Skip, check, expect
from kzoo.testing.subjects import (
    arguments,
    expect_close,
    expect_finite,
    numpy,
    random_array,
    same,
    sub_layers,
)

_SHARED: dict[Any, keras.Model] = {}


def build(entry: Entry, **changes: Any) -> keras.Model:
    """The smallest model of an entry, with some arguments changed."""
    args = {"input_shape": tuple(entry.tiny["input_shape"]), **arguments(entry), **changes}
    if "input_tensor" in changes:
        del args["input_shape"]
    return entry.target(**args)


def shared(entry: Entry) -> keras.Model:
    """The smallest model of an entry, built once: no check may change it."""
    if entry.target not in _SHARED:
        while len(_SHARED) >= 2:
            del _SHARED[next(iter(_SHARED))]
        _SHARED[entry.target] = build(entry)
    return _SHARED[entry.target]


def images(entry: Entry, batch: int = 2, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Random images of the tiny input shape, or of another one."""
    return random_array((batch, *(shape or entry.tiny["input_shape"])))


def forward(model: keras.Model, x: np.ndarray, **options: Any) -> Any:
    """The outputs as NumPy. JAX would compile every operation by itself, so there all are one."""
    if keras.backend.backend() != "jax":
        return numpy(model(x, **options))
    import jax

    def pure(inputs):
        with keras.StatelessScope():
            return model(inputs, **options)

    return numpy(jax.jit(pure)(x))


@check("application")
def classifier(entry: Entry) -> None:
    """With a top: probabilities, which are the softmax of the layer `logits`."""
    model, x = shared(entry), images(entry)
    expect(
        type(model).__module__.startswith("keras."),
        f"A constructor returns a plain functional keras.Model, not {type(model)}.",
    )
    output = forward(model, x)
    expect(output.ndim == 2 and len(output) == 2, f"Output shape {output.shape}.")
    expect_close(output.sum(axis=1), np.ones(2), "Sum of the probabilities")
    logits = forward(keras.Model(model.input, model.get_layer("logits").output), x)
    expect_close(keras.ops.softmax(logits), output, "The softmax of `logits`")


@check("application")
def logits(entry: Entry) -> None:
    """`classes` sets the width; without an activation the model ends at `logits`."""
    model = build(entry, classes=7, classifier_activation=None)
    shape = tuple(model.output.shape)
    expect(shape == (None, 7), f"Shape {shape} with classes=7.")
    names = [layer.name for layer in model.layers]
    expect("predictions" not in names, "classifier_activation=None leaves a layer `predictions`.")
    expect("logits" in names, "There is no layer `logits`.")
    expect_finite(forward(model, images(entry)), "Logits")


@check("application")
def headless(entry: Entry) -> None:
    """Without a top: a map or a vector; `pooling` makes a vector of as many channels."""
    bare = build(entry, include_top=False)
    expect(
        not {"logits", "predictions"} & {layer.name for layer in bare.layers},
        "include_top=False leaves the classifier.",
    )
    shape = tuple(bare.output.shape)
    expect(len(shape) in (2, 4), f"Headless output has the shape {shape}.")
    expect_finite(forward(bare, images(entry)), "Features")
    for pooling in ("avg", "max"):
        found = tuple(build(entry, include_top=False, pooling=pooling).output.shape)
        expected = (None, shape[-1])
        expect(found == expected, f"pooling={pooling!r} gives {found} instead of {expected}.")


@check("application")
def input_tensor(entry: Entry) -> None:
    """The model builds on a tensor and starts from the tensor's own input."""
    source = keras.Input(tuple(entry.tiny["input_shape"]), name="source")
    model = build(entry, input_tensor=keras.layers.Rescaling(0.5, name="rescaling")(source))
    expect(len(model.inputs) == 1 and model.inputs[0] is source, "Inputs are not the source's.")
    expect("rescaling" in [layer.name for layer in model.layers], "The tensor's layers are lost.")
    expect_finite(forward(model, images(entry)), "Output")


@check("application")
def other_inputs(entry: Entry) -> None:
    """Larger images, H != W, and 1, 3 or 4 channels work."""
    height, width, channels = entry.tiny["input_shape"]
    for shape in ((height + 4, width + 9, channels), *((height, width, c) for c in (1, 3, 4))):
        if shape != (height, width, channels):
            output = forward(build(entry, input_shape=shape), images(entry, shape=shape))
            expect_finite(output, f"Output for images of {shape}")
            expect(output.shape[0] == 2, f"Output shape {output.shape} for images of {shape}.")


@check("application")
def parameters(entry: Entry) -> None:
    """The numbers of trainable parameters are the published ones."""
    if not entry.facts.get("parameters"):
        raise Skip("no published counts are declared")
    for args, published in entry.facts["parameters"]:
        with keras.StatelessScope(initialize_variables=False):  # shapes are enough, and quick
            weights = entry.target(**args).trainable_weights
        found = sum(int(np.prod(weight.shape)) for weight in weights)
        expect(found == published, f"{args}: {found:,} parameters, {published:,} are published.")
    keras.utils.clear_session(free_memory=False)  # or Keras would initialise them all later


@check("application")
def explicit_names(entry: Entry) -> None:
    """Two builds in one process have the same names of layers and weights."""
    first, second = (_names(build(entry)) for _ in range(2))
    expect(len(first) == len(second), "Two builds have different layers.")
    changed = [f"{a} / {b}" for a, b in zip(first, second, strict=True) if a != b]
    expect(not changed, f"Automatic names, which differ between two builds: {changed[:6]}.")


@check("application")
def save_and_load(entry: Entry) -> None:
    """A `.keras` file and a weight file by path give the same outputs again."""
    model, x = shared(entry), images(entry)
    wanted = forward(model, x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        expect_close(
            forward(keras.saving.load_model(path), x), wanted, "Output after loading", 1e-6
        )
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        again = build(entry, weights=str(path))
    expect_close(forward(again, x), wanted, "Output with weights=<path>", 1e-6)


@check("application")
def inference(entry: Entry) -> None:
    """Inference is repeatable, changes no state, and is what a call does by default."""
    model, x = shared(entry), images(entry)
    before = numpy(list(model.variables))
    first = forward(model, x, training=False)
    expect(same(first, forward(model, x, training=False)), "Two calls at inference differ.")
    expect(same(first, forward(model, x)), "A call without `training` is not inference.")
    expect(same(before, list(model.variables)), "Inference changes variables.")


def _names(model: keras.Model) -> list[str]:
    return [model.name, *(layer.name for layer in sub_layers(model))] + [
        weight.path for weight in model.weights
    ]
