"""A network and its exits: read in one pass, and as plain models."""

import collections.abc
import functools

import keras
from keras import ops

from kzoo import taps
from kzoo.trainers._exit import exit_model, reader
from kzoo.trainers._exit_places import ENSEMBLE, FINAL, places
from kzoo.trainers._networks import LOGITS, check_softmax, gives_probabilities
from kzoo.trainers._teaching import OUTPUTS

FEATURE = "feature"


def planted(model, written, hint_tap, adapt):
    """A network with a new exit at each tap, as wide as the deepest feature.

    Args:
        model: the network.
        written: taps, `None` for all stages but the last.
        hint_tap: where the deepest feature is read.
        adapt: whether each exit gets a linear map from its feature to the deepest one.
    """
    where = places(check_softmax(model), written)
    read = taps.extractor(model, [OUTPUTS, LOGITS, hint_tap, *(place.tap for place in where)])
    classes, width = (read.tap_shapes[tap][-1] for tap in (LOGITS, hint_tap))
    probabilities, policy = gives_probabilities(model), model.dtype_policy
    exits = [exit_model(place, width, classes, probabilities, policy) for place in where]
    adapters = []
    for one in exits if adapt else ():
        adapters.append(keras.layers.Dense(width, dtype="float32", name=f"{one.name}_adapter"))
        adapters[-1].build((None, width))
    return Exits(read, where, exits, adapters, hint_tap, probabilities)


class Exits:
    """How a network and its exits are read and taken apart; a plain object that Keras ignores.

    Args:
        read: an extractor of the network: outputs, logits, `hint_tap` and all places.
        where: a `Place` for each exit.
        exits: their models.
        adapters: a layer for each, or none.
        hint_tap: where the deepest feature is read.
        probabilities: whether network and exits end with a softmax.
    """

    def __init__(self, read, where, exits, adapters, hint_tap, probabilities):
        self.names = tuple(place.name for place in where)
        self.exits, self.adapters = exits, adapters
        self._model, self._read = read.model, read
        self._taps, self._hint_tap = [place.tap for place in where], hint_tap
        self._exit_readers = [reader(one) for one in exits]
        self._probabilities = probabilities

    @property
    def classes(self):
        """Number of classes."""
        return self._read.tap_shapes[LOGITS][-1]

    def read(self, inputs, training):
        """Name -> outputs, logits and feature, of the network and of each exit, from one pass."""
        seen = self._read(inputs, training=training)
        found = {FINAL: _shown(seen[OUTPUTS], seen[LOGITS], seen[self._hint_tap])}
        for name, tap, read in zip(self.names, self._taps, self._exit_readers, strict=True):
            found[name] = _shown(*read(seen[tap], training=training))
        return found

    def scores(self, found):
        """Outputs by name, and the mean of all probabilities."""
        outputs = {name: one[OUTPUTS] for name, one in found.items()}
        outputs[ENSEMBLE] = sum(ops.softmax(one[LOGITS]) for one in found.values()) / len(found)
        return outputs

    @functools.cached_property
    def models(self):
        """Name -> a flat plain model that ends with an exit, or the network."""
        makers = {FINAL: lambda: self._model}
        for name, tap, one in zip(self.names, self._taps, self.exits, strict=True):
            makers[name] = functools.partial(self._joined, name, tap, one)
        return _Models(makers)

    def _joined(self, name, tap, one):
        return taps.join([_cut(self._model, [tap])[0], one], name=f"{self._model.name}_{name}")

    @functools.cached_property
    def segments(self):
        """Plain models, to be run in turn: `x -> (map, probabilities)`, the last without map.

        Raises:
            ValueError: for a network that cannot be cut at the taps.
        """
        *pieces, last = _cut(self._model, self._taps)
        segments = []
        for name, piece, one in zip(self.names, pieces, self.exits, strict=True):
            inputs = _input_of(piece)
            reached = piece.call(inputs)
            outputs = [reached, self._sure(one.call(reached), name)]
            segments.append(_segment(inputs, outputs, name))
        inputs = _input_of(last)
        return [*segments, _segment(inputs, self._sure(last.call(inputs), FINAL), FINAL)]

    @functools.cached_property
    def ensemble(self):
        """A flat plain model: the mean of the probabilities of the network and all exits."""
        *segments, last = self.segments
        inputs = x = _input_of(segments[0])
        found = []
        for segment in segments:
            x, outputs = segment.call(x)
            found.append(outputs)
        mean = keras.layers.Average(dtype="float32", name="mean")([*found, last.call(x)])
        return keras.Model(inputs, mean, name=f"{self._model.name}_{ENSEMBLE}")

    def _sure(self, outputs, name):
        if self._probabilities:
            return outputs
        return keras.layers.Softmax(dtype="float32", name=f"{name}_probabilities")(outputs)


class _Models(collections.abc.Mapping):
    """Models that are made when they are asked for.

    It is no dict, in which Keras would look for weights when it saves a trainer.
    """

    def __init__(self, makers):
        self._makers = {name: functools.cache(make) for name, make in makers.items()}

    def __getitem__(self, name):
        return self._makers[name]()

    def __iter__(self):
        return iter(self._makers)

    def __len__(self):
        return len(self._makers)


def _shown(outputs, logits, feature):
    feature = ops.cast(feature, "float32")
    maps = tuple(range(1, len(feature.shape) - 1))
    feature = ops.mean(feature, axis=maps) if maps else feature
    return {OUTPUTS: outputs, LOGITS: ops.cast(logits, "float32"), FEATURE: feature}


def _input_of(model):
    first = model.inputs[0]
    return keras.Input(batch_shape=first.shape, dtype=first.dtype, name=first.name)


def _segment(inputs, outputs, name):
    model = keras.Model(inputs, outputs, name=f"segment_{name}")
    if keras.backend.backend() == "tensorflow":
        # XLA would compile it for each number of samples that is left.
        model.jit_compile = False
    return model


def _cut(model, where):
    try:
        return taps.cut(model, where)
    except ValueError as error:
        raise ValueError(
            f"{model.name!r} can be trained, but its exits cannot be used without the rest of it: "
            f"{error}"
        ) from None
