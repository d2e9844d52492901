"""The battery of layers, second part: training mode, noise, precision, gradients."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kzoo.registry import Entry
from kzoo.testing.battery import Skip, check, expect, is_ours
from kzoo.testing.gradients import value_and_gradients
from kzoo.testing.subjects import (
    arguments,
    differing,
    dtype_policy,
    expect_close,
    expect_finite,
    layer_input,
    make,
    mapped,
    numpy,
    own_arguments,
    random_array,
    same,
    shape_of,
    sub_layers,
    values,
)

_DRAWS = 16


@check("layer")
def inference(entry: Entry) -> None:
    """Inference is repeatable, changes no state, and is what a call does by default."""
    layer, x = make(entry), layer_input(entry)
    first = numpy(layer(x, training=False))
    before = values(layer.variables)
    expect(same(first, layer(x, training=False)), "Two calls at inference differ.")
    expect(same(first, layer(x)), "A call without `training` is not inference.")
    changed = differing(before, values(layer.variables), [v.path for v in layer.variables])
    expect(not changed, f"Inference changes {changed}.")


@check("layer")
def training_mode(entry: Entry) -> None:
    """`training=True` differs from inference as declared: not, by noise, or by statistics."""
    if "training" not in entry.facts and not is_ours(entry):
        raise Skip("declare training='same', 'noise' or 'statistics'")
    mode = entry.facts.get("training", "same")
    expect(mode in ("same", "noise", "statistics"), f"Unknown fact training={mode!r}.")
    layer, x = make(entry), layer_input(entry)
    reference = numpy(layer(x, training=False))
    before = values(layer.non_trainable_weights)
    draws = [numpy(layer(x, training=True)) for _ in range(_DRAWS if mode == "noise" else 2)]
    names = [v.path for v in layer.non_trainable_weights]
    moved = differing(before, values(layer.non_trainable_weights), names)
    if mode == "same":
        expect_close(draws[0], reference, "Training output of a layer with training='same'")
    if mode == "noise":
        expect(any(not same(draws[0], d) for d in draws), "Training adds no noise.")
    if mode == "statistics":
        expect(not same(draws[0], reference), "Training does not use the batch's statistics.")
        expect(same(draws[0], draws[1]), "Declared as statistics, but two training calls differ.")
        expect(moved, "Training updates no statistics.")
    else:
        expect(not moved, f"Training moves {moved}, but the entry does not declare statistics.")


@check("layer")
def statistics_once(entry: Entry) -> None:
    """One training step updates each moving mean and variance exactly once."""
    layer, x = make(entry), layer_input(entry)
    layer.build(shape_of(x))
    moving = [v for v in layer.non_trainable_weights if v.name.startswith("moving_")]
    if not moving:
        raise Skip("no moving statistics")
    ends = []
    for start in (0.0, 1.0):
        for variable in moving:
            variable.assign(np.full(variable.shape, start, "float32"))
        if keras.backend.backend() == "jax":  # its gradients drop the updates of variables
            layer(x, training=True)
        else:
            _train(layer, x)
        ends.append(values(moving))
    for variable, low, high in zip(moving, *ends, strict=True):
        kept = float(np.mean(high - low))
        momentum = _momentum(layer, variable)
        expect(
            abs(kept - momentum) < 1e-3,
            f"{variable.path} keeps {kept:.4f} of its value in a step; momentum is {momentum}.",
        )


@check("layer")
def seeds(entry: Entry) -> None:
    """The same seed gives the same noise, another seed other noise."""
    if entry.facts.get("training", "same") != "noise":
        raise Skip("no noise is declared")
    expect("seed" in own_arguments(entry.target), "A noisy layer must take `seed`.")
    x = layer_input(entry)
    layers = [make(entry, seed=seed) for seed in (11, 11, 12)]
    for layer in layers:
        layer.build(shape_of(x))
        layer.set_weights(layers[0].get_weights())
    draws = [[numpy(each(x, training=True)) for _ in range(_DRAWS)] for each in layers]
    expect(same(draws[0], draws[1]), "The same seed gives other noise.")
    expect(not same(draws[0], draws[2]), "Another seed gives the same noise.")


@check("layer")
def losses(entry: Entry) -> None:
    """Training adds the declared number of losses, inference none."""
    layer, x = make(entry), layer_input(entry)
    declared = entry.facts.get("losses", 0)
    layer(x, training=True)
    expect_finite(layer.losses, "Losses of the layer")
    found = len(layer.losses)
    expect(found == declared, f"Training adds {found} losses; the entry declares {declared}.")
    layer(x, training=False)
    expect(not layer.losses, f"Inference adds {len(layer.losses)} losses.")


@check("layer")
def mixed_precision(entry: Entry) -> None:
    """Under mixed_float16 every sub-layer follows the policy and everything is finite."""
    with dtype_policy("mixed_float16"):
        args = arguments(entry)
    layer, x = entry.target(**{**args, "dtype": "mixed_float16"}), layer_input(entry)
    layer.build(shape_of(x))
    for child in sub_layers(layer):
        found = (child.compute_dtype, child.variable_dtype)
        expect(
            found == ("float16", "float32"),
            f"Sub-layer {child.name} computes in {found[0]} and keeps {found[1]}: "
            "pass dtype=self.dtype_policy.",
        )
    symbols = mapped(lambda a: keras.KerasTensor(a.shape, "float16"), x)
    spec = keras.tree.flatten(layer(symbols))
    for training in (False, True):
        outputs = keras.tree.flatten(layer(x, training=training))
        found = [keras.backend.standardize_dtype(o.dtype) for o in outputs]
        expected = [s.dtype for s in spec]
        expect(found == expected == ["float16"] * len(found), f"Output in {found}, not float16.")
        expect_finite([outputs, layer.losses], f"Output or loss in float16, training={training}")
    _expect_finite_gradients(layer, mapped(np.zeros_like, x), "of zeros in float16")
    _expect_finite_gradients(layer, x, "in float16")


@check("layer")
def gradients(entry: Entry) -> None:
    """The input and every weight get a finite gradient that is not zero."""
    layer, x = make(entry), layer_input(entry)
    noisy = entry.facts.get("training") == "noise"
    draws = [_train(layer, x) for _ in range(_DRAWS if noisy else 1)]
    inputs = [f"input {i}" for i, _ in enumerate(keras.tree.flatten(x))]
    names = [*(w.path for w in layer.trainable_weights), *inputs]
    missing = [name for name, value in zip(names, draws[0], strict=True) if value is None]
    expect(not missing, f"No gradient to {missing}.")
    expect_finite(draws, "A gradient")
    sizes = [max(np.max(np.abs(g)) for g in each) for each in zip(*draws, strict=True)]
    least = 1e-6 * max(1.0, *sizes)
    dead = [name for name, size in zip(names, sizes, strict=True) if size < least]
    expect(not dead, f"The gradient is zero for {dead}.")


@check("layer")
def degenerate_inputs(entry: Entry) -> None:
    """Zeros, constants and large values give finite outputs and gradients."""
    layer, x = make(entry), layer_input(entry)
    for name, function in (
        ("zeros", np.zeros_like),
        ("ones", np.ones_like),
        ("values of 1e4", lambda a: 1e4 * a),
    ):
        value = mapped(function, x)
        expect_finite(layer(value, training=False), f"Output of {name}")
        _expect_finite_gradients(layer, value, f"of {name}")


def _train(layer: keras.Layer, x: Any) -> list:
    """Gradients of a random projection of the training output plus the layer's losses.

    First those to the trainable weights, then those to the inputs.
    """

    def value(*inputs):
        outputs = layer(keras.tree.pack_sequence_as(x, list(inputs)), training=True)
        terms = [_projection(output) for output in keras.tree.flatten(outputs)]
        return sum(terms) + sum(ops.sum(loss) for loss in layer.losses)

    if not layer.built:
        layer.build(shape_of(x))
    inputs = keras.tree.flatten(x)
    _, by_weight, by_input = value_and_gradients(value, layer.trainable_weights, inputs)
    return [*by_weight, *by_input]


def _projection(output: Any) -> Any:
    direction = ops.convert_to_tensor(random_array(tuple(output.shape), 1))
    return ops.sum(ops.cast(output, "float32") * direction)


def _expect_finite_gradients(layer: keras.Layer, x: Any, what: str) -> None:
    found = [gradient for gradient in _train(layer, x) if gradient is not None]
    expect_finite(found, f"Gradients {what}")


def _momentum(layer: keras.Layer, variable: keras.Variable) -> float:
    """The momentum that the layer, else the innermost owner of the variable, declares."""
    if "momentum" in layer.get_config():
        return layer.get_config()["momentum"]
    owners = [c for c in sub_layers(layer) if any(v is variable for v in c.variables)]
    expect(owners, f"The layer owns {variable.path} but has no argument `momentum`.")
    return min(owners, key=lambda child: len(child.variables)).momentum
