"""Heads on a shared tree: a trunk, and at each split several branches."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from kzoo import taps
from kzoo.losses._arguments import check_integer
from kzoo.taps._extractor import SMALLEST_NORMAL
from kzoo.trainers._networks import LOGITS, ends_alike, gives_probabilities, readers
from kzoo.trainers._teaching import OUTPUTS


def planted(model_builder, trunk, heads, num_heads, split):
    """`(trunk, heads)` as they were given, or cut from models of the builder.

    A head is a model, or where it splits again `{"trunk": model, "heads": [...]}`.
    """
    if model_builder is None and trunk is not None and heads is not None:
        return trunk, heads
    builds = callable(model_builder) and not isinstance(model_builder, keras.Model)
    if not builds or trunk is not None or heads is not None:
        raise ValueError(
            "Give either `model_builder`, a function without arguments that makes a new model at "
            "each call, or `trunk` and `heads`. Received: "
            f"model_builder={model_builder!r}, trunk={trunk!r}, heads={heads!r}"
        )
    splits = list(split) if isinstance(split, list | tuple) else [split]
    counts = list(num_heads) if isinstance(num_heads, list | tuple) else [num_heads]
    for count in counts:
        check_integer("num_heads", count, low=2)
    named = splits and all(isinstance(tap, str) for tap in splits)
    if not named or len(splits) != len(counts):
        raise ValueError(
            "`split` must be a tap or a list of taps, and `num_heads` one integer for each. "
            f"Received: split={split!r}, num_heads={num_heads!r}"
        )
    pieces = [taps.cut(model_builder(), splits) for _ in range(math.prod(counts))]
    _check_fresh(pieces)
    grown = _branch(pieces, counts, 0, 0)
    return grown["trunk"], grown["heads"]


def _branch(pieces, counts, level, first):
    """All that stands on a piece of the model of head `first`."""
    piece = pieces[first][level]
    if level == len(counts):
        return piece
    step = math.prod(counts[level + 1 :])
    starts = range(first, first + counts[level] * step, step)
    return {"trunk": piece, "heads": [_branch(pieces, counts, level + 1, n) for n in starts]}


def _check_fresh(pieces):
    """Refuse heads that would stay equal for ever, or are one."""
    first, *others = ([ops.convert_to_numpy(v) for v in one[-1].weights] for one in pieces)
    for other in others:
        same = len(first) == len(other) and all(map(np.array_equal, first, other))
        if first and same:
            raise ValueError(
                "Two heads start with the same weights, so they would learn the same. "
                "`model_builder` must make a new model with a new initialisation at each call: "
                "build the model inside of it and give the initialisers no seed."
            )


def small_tree(small):
    """The smallest tree, for the battery."""
    heads = [small(name, after="stage1") for name in ("left", "right")]
    return {"trunk": small("trunk", before="stage1"), "heads": heads}


def shared_gradient(x, children):
    """`x` itself, bit for bit; the gradient that comes back is divided by `children`."""
    held = ops.stop_gradient(x)
    return held + (x - held) / children


@dataclasses.dataclass(frozen=True)
class _Node:
    model: keras.Model
    children: tuple["_Node", ...] = ()


class Tree:
    """Segments of a network that share what comes before them; a plain object that Keras ignores.

    Args:
        trunk: the model that all heads read.
        heads: what reads it; see `planted`.

    Raises:
        ValueError: for what is no tree of heads with the same classes.
    """

    def __init__(self, trunk, heads):
        self._root = _node({"trunk": trunk, "heads": heads})
        self._paths = list(_paths(self._root))
        _check_segments(self._root)
        leaves = [path[-1] for path in self._paths]
        self._readers = readers(leaves)
        self.names = tuple(f"head{number}" for number in range(1, len(leaves) + 1))
        self.probabilities = ends_alike(leaves, "heads")

    def read(self, inputs, training, rescale=False):
        """Outputs and logits of each head from one pass, in which each segment runs once.

        Args:
            inputs: of the trunk.
            training: whether to run in training mode.
            rescale: whether a segment gets the mean instead of the sum of its children's gradients.
        """
        features = self._run(self._root, inputs, training, rescale)
        pairs = zip(self._readers, features, strict=True)
        return [read(found, training=training) for read, found in pairs]

    def _run(self, node, x, training, rescale):
        """What each head below a node takes."""
        if not node.children:
            return [x]
        x = node.model(x, training=training)
        x = shared_gradient(x, len(node.children)) if rescale else x
        return [
            found for child in node.children for found in self._run(child, x, training, rescale)
        ]

    def mean(self, found):
        """The heads' mean logits, in the form of the heads' outputs."""
        logits = sum(ops.cast(one[LOGITS], "float32") for one in found) / len(found)
        return ops.softmax(logits) if self.probabilities else logits

    def scores(self, found):
        """The outputs of each head by name, and of their mean."""
        outputs = {n: one[OUTPUTS] for n, one in zip(self.names, found, strict=True)}
        return {**outputs, "ensemble": self.mean(found)}

    def models(self):
        """For each head a flat plain model from the inputs to it: name -> model."""
        pairs = zip(self.names, self._paths, strict=True)
        return {name: taps.join(path, name=name) for name, path in pairs}

    def ensemble(self):
        """A plain model of trunk and heads that gives the mean logits as `mean` does."""
        first = self._root.model.inputs[0]
        inputs = keras.Input(batch_shape=first.shape, dtype=first.dtype, name=first.name)
        names = iter(self.names)
        logits = _nested(self._root, self._root.model.call(inputs), names, "branch")
        outputs = keras.layers.Average(dtype="float32", name="logits")(logits)
        if self.probabilities:
            outputs = keras.layers.Softmax(dtype="float32", name="predictions")(outputs)
        return keras.Model(inputs, outputs, name="ensemble")


def _node(given):
    if not isinstance(given, dict):
        return _Node(given)
    if given.keys() != {"trunk", "heads"}:
        raise ValueError(
            "A head that splits again is written {'trunk': model, 'heads': [...]}. "
            f"Received: {given!r}"
        )
    heads = given["heads"]
    if not isinstance(heads, list | tuple) or len(heads) < 2:
        raise ValueError(f"`heads` must be a list of two or more models. Received: heads={heads!r}")
    return _Node(given["trunk"], tuple(_node(head) for head in heads))


def _nodes(node):
    yield node
    for child in node.children:
        yield from _nodes(child)


def _paths(node):
    """The segments from the trunk to each head."""
    if not node.children:
        yield [node.model]
    for child in node.children:
        yield from ([node.model, *path] for path in _paths(child))


def _check_segments(root):
    owners = {}
    for node in _nodes(root):
        model = node.model
        graph = isinstance(model, keras.Model) and getattr(model, "inputs", None)
        if not graph or len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ValueError(
                "`trunk` and `heads` must be functional or Sequential keras.Models with one input "
                f"and one output. Received: {model!r}"
            )
        for variable in model.variables:
            if owners.setdefault(id(variable), node) is not node:
                raise ValueError(
                    f"Two parts of the tree share the variable {variable.path}. Each must have "
                    "weights of its own: `model_builder` must make a new model at each call."
                )
        if not node.children and not model.weights:
            raise ValueError(
                f"The head {model.name!r} has no weights, so all heads are the same. Split before "
                "the last layer with weights."
            )
    for node in _nodes(root):
        for child in node.children:
            given, wanted = node.model.output_shape, child.model.input_shape
            if tuple(given[1:]) != tuple(wanted[1:]):
                raise ValueError(
                    f"{child.model.name!r} must take what {node.model.name!r} returns. Expected: "
                    f"an input of shape {tuple(given)}. Received: {tuple(wanted)}"
                )


def _nested(node, x, names, place):
    """The logits of all heads below a node, each head as one layer."""
    found = []
    for number, child in enumerate(node.children, start=1):
        if child.children:
            name = f"{place}{number}"
            model = keras.Model(child.model.inputs[0], child.model.outputs[0], name=name)
            found += _nested(child, model(x), names, f"{name}_")
        else:
            found.append(_logits_of(child.model, next(names))(x))
    return found


def _logits_of(head, name):
    """A head without its softmax."""
    inputs, outputs = head.inputs[0], head.outputs[0]
    if gives_probabilities(head):
        try:
            piece = taps.cut(head, LOGITS)[0]
            inputs, outputs = piece.inputs[0], piece.outputs[0]
        except ValueError:  # the softmax is inside of a layer
            outputs = ops.log(ops.maximum(ops.cast(outputs, "float32"), SMALLEST_NORMAL))
    return keras.Model(inputs, outputs, name=name)
