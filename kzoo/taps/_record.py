"""Watching operations while a model runs: what they read, what they return.

A watched operation's `call` (or its `activation`) is overlaid on the instance for the time of
one pass and taken away afterwards, so the model, its graph and its weights stay as they were.
Overlays are counted, because replicas trace one model from several threads at once, and each
thread records only what it runs itself.
"""

import contextlib
import functools
import threading

import keras

_MISSING = object()
_lock = threading.Lock()
_overlays: dict[tuple[int, str], list] = {}


class _Thread(threading.local):
    """What belongs to one thread: who listens to it."""

    def __init__(self):
        super().__init__()
        self.listeners = []


_thread = _Thread()


class Recorder:
    """Base of what listens during a pass."""

    def before(self, operation):
        """An operation starts."""

    def after(self, operation, inputs, outputs):
        """An operation has returned `outputs`; `inputs` is `(args, kwargs)`."""

    def activated(self, operation, inputs, outputs):
        """The `activation` function of an operation has returned."""


@contextlib.contextmanager
def recording(recorder, operations):
    """Report to `recorder` what this thread runs of `operations`."""
    overlaid = []
    listeners = _thread.listeners
    listeners.append(recorder)
    try:
        for operation in operations:
            for attribute in _attributes(operation):
                _overlay(operation, attribute)
                overlaid.append((operation, attribute))
        yield recorder
    finally:
        for operation, attribute in reversed(overlaid):
            _restore(operation, attribute)
        listeners.remove(recorder)


def _attributes(operation):
    quantized = getattr(operation, "quantization_mode", None) is not None
    names = ["quantized_call" if quantized else "call"]
    activation = vars(operation).get("activation")
    # An activation that is a layer is watched as an operation of its own.
    if callable(activation) and not isinstance(activation, keras.layers.Layer):
        names.append("activation")
    return names


def _overlay(operation, attribute):
    with _lock:
        entry = _overlays.get((id(operation), attribute))
        if entry is not None:
            entry[0] += 1
            return
        own = vars(operation).get(attribute, _MISSING)
        original = getattr(operation, attribute)
        report = _report_activation if attribute == "activation" else _report_call
        _overlays[id(operation), attribute] = [1, own]
        object.__setattr__(operation, attribute, _watched(operation, original, report))


def _restore(operation, attribute):
    with _lock:
        entry = _overlays[id(operation), attribute]
        entry[0] -= 1
        if entry[0]:
            return
        del _overlays[id(operation), attribute]
        if entry[1] is _MISSING:
            object.__delattr__(operation, attribute)
        else:
            object.__setattr__(operation, attribute, entry[1])


def _watched(operation, original, report):
    @functools.wraps(original)
    def call(*args, **kwargs):
        return report(operation, original, args, kwargs)

    return call


def _report_call(operation, original, args, kwargs):
    listeners = list(_thread.listeners)
    for listener in listeners:
        listener.before(operation)
    outputs = original(*args, **kwargs)
    for listener in listeners:
        listener.after(operation, (args, kwargs), outputs)
    return outputs


def _report_activation(operation, original, args, kwargs):
    outputs = original(*args, **kwargs)
    for listener in list(_thread.listeners):
        listener.activated(operation, (args, kwargs), outputs)
    return outputs


def tensors(structure):
    """The backend tensors of a nested structure, in order."""
    return [x for x in keras.tree.flatten(structure) if keras.ops.is_tensor(x)]
