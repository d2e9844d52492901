"""One symbolic pass over a model: which operations run, on what, in which order."""

import collections
import dataclasses
from typing import Any

import keras
import numpy as np

from kzoo.taps._record import Recorder, recording, tensors

# Stands in for sizes that the model leaves open; large enough for any stem.
OPEN_SIZE = 224


@dataclasses.dataclass
class Event:
    """One run of one operation.

    Attributes:
        operation: the layer or op that ran.
        path: its name within the model, parents first, joined by "/".
        index: how many times it had run before.
        inputs, outputs: its tensors.
        activated: `(input, output)` of its activation function, where it has one.
        inner: whether it ran inside a layer that is no model.
    """

    operation: Any
    path: str
    index: int
    inputs: list
    outputs: list
    activated: tuple | None
    inner: bool

    @property
    def shape(self):
        """Shape of the first output."""
        return tuple(self.outputs[0].shape)

    @property
    def kind(self):
        """Name of the operation's class."""
        return type(self.operation).__name__


@dataclasses.dataclass
class Trace:
    """A model's events, its inputs and its outputs.

    Attributes:
        paths: path -> the operations of that name (more than one where a name was given
            twice), also those that never run.
        events: in the order in which they ended, inner ones first.
        inputs, outputs: the model's tensors.
        open_sizes: whether the model leaves its input's sizes open.
    """

    paths: dict
    events: list
    inputs: list
    outputs: list
    open_sizes: bool

    def calls(self, operation):
        """The events of one operation, in order."""
        return [event for event in self.events if event.operation is operation]

    def shape(self, tensor):
        """The tensor's shape, open where the model's is: batch, then sizes of maps."""
        shape = tuple(tensor.shape)
        if self.open_sizes and len(shape) > 2:
            return (None,) * (len(shape) - 1) + shape[-1:]
        return (None, *shape[1:])


def trace(model):
    """Run `model` symbolically, at inference, and return its `Trace`.

    Raises:
        ValueError: for what is no Keras model and for a model that is not built.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {model!r}")
    inputs = symbolic_inputs(model)
    paths = _paths(model)
    run = _Run(model, _Log(paths))
    run(keras.tree.map_structure(_concrete, inputs))
    sizes = [None in tensor.shape[1:] for tensor in keras.tree.flatten(inputs)]
    log = run.log
    return Trace(paths, log.events, log.inputs, log.outputs, any(sizes))


def symbolic_inputs(model):
    """The model's inputs as symbolic tensors, `None` where it leaves a size open."""
    known = model.input if isinstance(model, keras.Function) else None
    if isinstance(model, keras.Sequential) and model.built:
        known = model.inputs[0]
    if known is not None:
        return keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, dtype=x.dtype, name=x.name), known
        )
    shape = (model.get_build_config() or {}).get("input_shape")
    if not model.built or shape is None:
        raise ValueError(
            f"The model {model.name!r} has no known input shape. Call it once on a batch (with "
            "one positional argument), or build it from keras.Input, before reading its taps."
        )
    return keras.tree.map_shape_structure(keras.KerasTensor, shape)


def gives_probabilities(model, position):
    """Whether one output of `model` is, on random inputs, a distribution over its last axis."""
    random = np.random.default_rng(0)
    inputs = keras.tree.map_structure(
        lambda x: keras.ops.cast(random.uniform(size=_concrete(x).shape), x.dtype),
        symbolic_inputs(model),
    )
    outputs = tensors(model(inputs, training=False))[position]
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    return bool(np.all(outputs >= 0) and np.allclose(outputs.sum(axis=-1), 1, atol=1e-2))


def new_inputs(model, prefix=""):
    """New `keras.Input` like those of a model, in their structure; a prefix for their names."""
    return keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=f"{prefix}{x.name}"),
        symbolic_inputs(model),
    )


def _concrete(tensor):
    sizes = [OPEN_SIZE if size is None else size for size in tensor.shape[1:]]
    return keras.KerasTensor((tensor.shape[0] or 2, *sizes), dtype=tensor.dtype, name=tensor.name)


def _paths(model):
    """Path -> operations, over all depths; an operation that is in several places has one path."""
    paths, seen = {}, {id(model)}
    queue = collections.deque([("", model)])
    while queue:
        prefix, parent = queue.popleft()
        for child in _children(parent):
            if id(child) not in seen:
                seen.add(id(child))
                paths.setdefault(prefix + child.name, []).append(child)
                queue.append((prefix + child.name + "/", child))
    return paths


def _children(operation):
    if isinstance(operation, keras.Function):
        children = operation.operations
    elif isinstance(operation, keras.Sequential):
        children = operation.layers
    elif isinstance(operation, keras.layers.Layer):
        children = operation._flatten_layers(include_self=False, recursive=False)
    else:
        children = []
    return [child for child in children if not isinstance(child, keras.layers.InputLayer)]


class _Log(Recorder):
    def __init__(self, paths):
        self.operations = [operation for same in paths.values() for operation in same]
        self.path_of = {id(operation): path for path, same in paths.items() for operation in same}
        self.start()

    def start(self):
        self.events, self.inputs, self.outputs, self.stack = [], [], [], []
        self.counts, self.activations = collections.Counter(), {}

    def before(self, operation):
        self.stack.append(operation)

    def activated(self, operation, inputs, outputs):
        self.activations[id(operation)] = (tensors(inputs)[0], outputs)

    def after(self, operation, inputs, outputs):
        self.stack.pop()
        key = id(operation)
        event = Event(
            operation,
            self.path_of[key],
            self.counts[key],
            tensors(inputs),
            tensors(outputs),
            self.activations.pop(key, None),
            not all(isinstance(parent, keras.Model) for parent in self.stack),
        )
        self.counts[key] += 1
        self.events.append(event)


class _Run(keras.layers.Layer):
    """Keras traces the call of a layer that declares no output shape: that is the dry run."""

    def __init__(self, model, log):
        super().__init__(autocast=False, name="taps")
        # Hidden from Keras, which would take the model for a layer of this one.
        self.model = lambda: model
        self.log = log
        self.built = True

    def call(self, inputs):
        self.log.start()
        self.log.inputs = tensors(inputs)
        with recording(self.log, self.log.operations):
            outputs = self.model()(inputs, training=False)
        self.log.outputs = tensors(outputs)
        return outputs
