"""How a classifier ends."""

from kzoo.taps._source import makers
from kzoo.taps._trace import trace

_SIGMOID = ("Sigmoid", "sigmoid")


def ends_with_sigmoid(model):
    """Whether a sigmoid makes the model's first output."""
    seen = trace(model)
    for event in makers(seen, seen.outputs[0]):
        function = getattr(event.operation, "activation", None)
        if event.kind in _SIGMOID or getattr(function, "__name__", "") in _SIGMOID:
            return True
    return False
