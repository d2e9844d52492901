"""The battery of applications, second part: training, taps, limits, precision."""

import sys

import keras
import numpy as np
from keras import ops

from kzoo.registry import Entry
from kzoo.testing.application_checks import build, forward, images, shared
from kzoo.testing.battery import Skip, check, expect
from kzoo.testing.subjects import (
    differing,
    dtype_policy,
    expect_close,
    expect_finite,
    same,
    sub_layers,
    values,
)

_FLOAT32_HEAD = ("logits", "predictions")


@check("application")
def step_moves_every_weight(entry: Entry) -> None:
    """One training step changes every trainable weight and leaves all finite."""
    model, x = build(entry), images(entry, batch=4)
    before, names = values(model.trainable_weights), [w.path for w in model.trainable_weights]
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", **_quickest())
    model.fit(x, np.arange(4) % 2, batch_size=4, epochs=1, verbose=0)
    after = values(model.trainable_weights)
    expect_finite(values(model.weights), "Weights after a step")
    moved = differing(before, after, names)
    still = [name for name in names if name not in moved]
    expect(not still, f"A training step does not move {still}.")


@check("application")
def stage_taps(entry: Entry) -> None:
    """`kzoo.taps` finds every declared stage, the pooled features and the logits."""
    from kzoo import taps

    model, x = shared(entry), images(entry)
    stages = [f"stage{i + 1}" for i in range(entry.facts.get("stages", 0))]
    found = taps.available(model)
    missing = [name for name in (*stages, "logits") if name not in found]
    expect(not missing, f"No tap {missing}; there are {list(found)}.")
    extra = [n for n in found if n.removeprefix("stage").isdigit() and n not in stages]
    expect(not extra, f"The taps {extra} are stages that the entry does not declare.")
    features = forward(taps.extractor(model, [*stages, "logits"]), x)
    for name, feature in features.items():
        shape, known = tuple(feature.shape[1:]), tuple(found[name][1:])
        expect(shape == known, f"The tap {name} has the shape {shape}; {known} is announced.")
        expect_finite(feature, f"The tap {name}")
    expect_close(
        ops.softmax(features["logits"]), forward(model, x), "The softmax of the tap `logits`"
    )


@check("application")
def distils(entry: Entry) -> None:
    """The model works as a teacher and as a student of a `Distiller`."""
    from kzoo.losses import SoftTargets
    from kzoo.trainers import Distiller

    teacher, x = shared(entry), images(entry, batch=4)
    keras.utils.set_random_seed(1)  # or the student would start as the teacher
    student = build(entry)
    before, start = values(teacher.variables), values(student.trainable_weights)
    trainer = Distiller(student, teacher, losses=[SoftTargets()])
    trainer.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", **_quickest())
    history = trainer.fit(x, np.arange(4) % 2, batch_size=4, epochs=1, verbose=0).history
    expect_finite(history["loss"], "The distiller's loss")
    expect(same(before, values(teacher.variables)), "The teacher changes.")
    expect(not same(start, values(student.trainable_weights)), "The student does not learn.")


@check("application")
def smallest_input(entry: Entry) -> None:
    """The declared smallest image works; a smaller one is a ValueError."""
    if "min_size" not in entry.facts:
        raise Skip("no smallest size is declared")
    size, channels = entry.facts["min_size"], entry.tiny["input_shape"][-1]
    shape = (size, size, channels)
    output = forward(build(entry, input_shape=shape), images(entry, shape=shape))
    expect_finite(output, f"Output for images of {shape}")
    if size > 1:
        shape = (size - 1, size - 1, channels)
        _expect_refused(entry, str(shape), input_shape=shape)


@check("application")
def wrong_arguments(entry: Entry) -> None:
    """Unknown weights, impossible classes and unknown pooling are ValueErrors."""
    _expect_refused(entry, "no-such-weights", weights="no-such-weights")
    _expect_refused(entry, "0", classes=0)
    _expect_refused(entry, "median", include_top=False, pooling="median")


@check("application")
def preprocessing(entry: Entry) -> None:
    """The module's `preprocess_input` returns new floats and leaves its argument alone."""
    function = vars(sys.modules[entry.target.__module__]).get("preprocess_input")
    expect(callable(function), f"{entry.target.__module__} has no preprocess_input.")
    pixels = np.random.default_rng(0).integers(0, 256, (2, *entry.tiny["input_shape"]))
    for dtype in ("float32", "uint8"):
        x = pixels.astype(dtype)
        kept = x.copy()
        result = function(x)
        expect(same(x, kept), f"preprocess_input changes its {dtype} argument in place.")
        expect(result is not x, "preprocess_input returns its argument itself.")
        expect(tuple(result.shape) == x.shape, f"Shape {result.shape} instead of {x.shape}.")
        name = keras.backend.standardize_dtype(result.dtype)
        expect(name == "float32", f"preprocess_input gives {name} for {dtype}.")
        expect_finite(result, "Preprocessed images")
        expect_close(function(ops.convert_to_tensor(x)), result, "A tensor against an array")


@check("application")
def mixed_precision(entry: Entry) -> None:
    """Under mixed_float16 every layer but the head follows the policy; outputs are finite."""
    with dtype_policy("mixed_float16"):
        model = build(entry)
    for layer in sub_layers(model):
        if layer.name in _FLOAT32_HEAD or isinstance(layer, keras.layers.InputLayer):
            continue
        found = (layer.compute_dtype, layer.variable_dtype)
        expect(
            found == ("float16", "float32"),
            f"The layer {layer.name} computes in {found[0]} and keeps {found[1]}.",
        )
    for training in (False, True):
        expect_finite(
            forward(model, images(entry), training=training), "Output under mixed_float16"
        )


def _quickest() -> dict[str, bool]:
    """How one step takes least time: JAX would compile every operation by itself eagerly."""
    return {"run_eagerly": keras.backend.backend() != "jax"}


def _expect_refused(entry: Entry, received: str, **changes) -> None:
    """The constructor must raise a ValueError that names what it received."""
    try:
        build(entry, **changes)
    except ValueError as error:
        expect(received in str(error), f"The error does not name {received}: {error}")
        return
    expect(False, f"{changes} is accepted; a ValueError is due.")
