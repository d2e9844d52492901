"""Names of taps: the canonical ones of a model, and what a user may write."""

import re

import keras

from kzoo import registry
from kzoo.taps._flow import Flow
from kzoo.taps._source import Source, before_activation, makers, source
from kzoo.taps._trace import gives_probabilities

OUTPUTS = "outputs"
_EXPLICIT = re.compile(r"stem|stage\d+|pooled")
_TO_PROBABILITIES = frozenset(("Softmax", "Sigmoid", "softmax", "sigmoid"))


def canonical(trace, model):
    """Name -> source of the model's canonical taps, from the stem to the predictions."""
    flow = Flow(trace)
    pooled = flow.pooled()
    found = {name: source(trace, _last(trace, event)) for name, event in flow.stages().items()}
    explicit = _explicit(trace)
    if any(name.startswith("stage") for name in explicit):
        found = {}
    head = _head(trace, model, pooled)
    if pooled is not None:
        found["pooled"] = source(trace, _last(trace, pooled))
    elif "logits" in head:
        found.update(_read_by_classifier(trace, head["logits"]))
    found = {**found, **explicit, **head}
    return {name: found[name] for name in sorted(found, key=_order)}


def _order(name):
    kind = name.rstrip("0123456789")
    kinds = ("stem", "stage", "pooled", "logits", "predictions")
    return kinds.index(kind), int(name[len(kind) :] or 0)


def _last(trace, event):
    """The last layer that returned the event's tensor: itself, or a dropout after it."""
    return makers(trace, event.outputs[0])[0]


def _explicit(trace):
    """Sources of the layers, at any depth, that alone carry a canonical name."""
    found = {}
    for path, same in trace.paths.items():
        name = path.rpartition("/")[2]
        if _EXPLICIT.fullmatch(name):
            found.setdefault(name, []).extend(same)
    return {
        name: source(trace, trace.calls(same[0])[-1])
        for name, same in found.items()
        if len(same) == 1 and trace.calls(same[0])
    }


def _head(trace, model, pooled):
    """Sources of the logits and, where the model gives probabilities, of these."""
    positions = [i for i, output in enumerate(trace.outputs) if len(output.shape) == 2]
    if not positions or (pooled and pooled.outputs[0] is trace.outputs[positions[0]]):
        return {}
    tensor = trace.outputs[positions[0]]
    layers = makers(trace, tensor)
    output = source(trace, layers[0]) if layers else Source(None, positions[0], "output", tensor)
    logits = before_activation(trace, tensor, wanted=_makes_probabilities)
    if logits is not None:
        return {"logits": logits, "predictions": output}
    if any(_is_linear(event) for event in layers):
        return {"logits": output}
    if gives_probabilities(model, positions[0]):
        logarithm = Source(output.operation, output.index, output.port, tensor, logarithm=True)
        return {"logits": logarithm, "predictions": output}
    return {"logits": output}


def _makes_probabilities(event):
    function = getattr(event.operation, "activation", None)
    return event.kind in _TO_PROBABILITIES or (
        getattr(function, "__name__", "") in _TO_PROBABILITIES
    )


def _is_linear(event):
    linear = getattr(event.operation, "activation", None) is keras.activations.linear
    return linear or event.path.rpartition("/")[2] == "logits"


def _read_by_classifier(trace, logits):
    """Where no pooling is: the vector that the classifier reads."""
    layers = makers(trace, logits.tensor)
    if logits.port == "activation":
        layers = trace.calls(logits.operation)[-1:]
    if not layers or not layers[0].inputs or len(layers[0].inputs[0].shape) != 2:
        return {}
    made = makers(trace, layers[0].inputs[0])
    return {"pooled": source(trace, made[-1]) if made else source(trace, layers[0], "input")}


def resolve(trace, names, spelling):
    """The source that a user's spelling, `name[:call][:pre]`, means.

    Raises:
        ValueError: for a name that the model does not have; the message lists what it has.
    """
    name, *suffixes = spelling.split(":")
    before = suffixes[-1:] == ["pre"]
    calls = suffixes[:-1] if before else suffixes
    if len(calls) > 1 or not all(call.isdecimal() for call in calls):
        raise ValueError(
            f"A tap is written 'name', 'name:pre', 'name:0' or 'name:0:pre'. Received: {spelling!r}"
        )
    if name in names and not calls:
        found = names[name]
    elif name in trace.paths:
        found = _of_layer(trace, name, int(calls[0]) if calls else None)
    else:
        raise ValueError(_unknown(trace, names, name))
    if not before:
        return found
    return before_activation(trace, found.tensor) or found


def _of_layer(trace, path, call):
    calls = trace.calls(trace.paths[path][0])
    if len(trace.paths[path]) > 1:
        raise ValueError(f"Several layers are called {path!r}. Give each a name of its own.")
    if not calls:
        raise ValueError(f"The layer {path!r} takes no part in the model's pass.")
    if call is not None and call >= len(calls):
        raise ValueError(
            f"The layer {path!r} is called {len(calls)} times, so write '{path}:0' to "
            f"'{path}:{len(calls) - 1}', or '{path}' for the last. Received: '{path}:{call}'"
        )
    event = calls[-1 if call is None else call]
    if len(event.outputs) != 1:
        raise ValueError(
            f"The layer {path!r} returns {len(event.outputs)} tensors, a tap is one. "
            "Tap a layer inside or after it."
        )
    return source(trace, event)


def _unknown(trace, names, name):
    ran = {event.path for event in trace.events}
    shapes = ", ".join(f"{tap} {trace.shape(found.tensor)}" for tap, found in names.items())
    near = registry.suggest(name, [*names, *ran])
    near = near if near.startswith("Did") else ""
    return (
        f"The model has no tap or layer {name!r}. {near} Taps: {shapes or 'none'}; {len(ran)} "
        "layers may be named too, with their paths, such as 'backbone/block1'. See "
        "kzoo.taps.available(model, layers=True)."
    ).replace("  ", " ")
