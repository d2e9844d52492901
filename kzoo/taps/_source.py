"""Where in a model's pass a feature is read."""

import dataclasses
from typing import Any

import keras

ACTIVATIONS = frozenset(
    (
        "Activation",
        "ReLU",
        "LeakyReLU",
        "PReLU",
        "ELU",
        "Softmax",
        "Relu",
        "Relu6",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "Silu",
        "HardSilu",
        "HardSigmoid",
        "HardTanh",
        "Sigmoid",
        "Tanh",
        "Softplus",
        "Softsign",
        "LogSoftmax",
    )
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A place in a model's pass.

    Attributes:
        operation: the layer or op to watch; `None` for the model's own output.
        index: which of its calls, `None` for the last; of the model: which output.
        port: `"output"`, `"input"`, or `"activation"`: what its activation function reads.
        tensor: what the dry run saw there.
        logarithm: whether the feature is the logarithm of what is read.
    """

    operation: Any
    index: int | None
    port: str
    tensor: Any
    logarithm: bool = False


def source(trace, event, port="output"):
    """The source that reads `event` at `port`."""
    seen = {"output": event.outputs, "input": event.inputs, "activation": event.activated}
    last = trace.calls(event.operation)[-1] is event
    return Source(event.operation, None if last else event.index, port, seen[port][0])


def makers(trace, tensor):
    """The events that returned `tensor`, from the last to the first; models come after layers.

    There can be several: an identity at inference (dropout) returns the tensor it was given, and
    a nested model what its last layer returned.
    """
    found = [e for e in reversed(trace.events) if any(tensor is made for made in e.outputs)]
    return sorted(found, key=lambda event: isinstance(event.operation, keras.Model))


def before_activation(trace, tensor, wanted=lambda event: True):
    """The source before the activation that made `tensor`, `None` where none did."""
    for event in makers(trace, tensor):
        if event.activated and event.activated[1] is tensor and wanted(event):
            return source(trace, event, "activation")
        if not event.activated and event.kind in ACTIVATIONS and wanted(event):
            return source(trace, event, "input")
    return None
