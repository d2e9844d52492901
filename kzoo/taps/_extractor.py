"""The public functions: which taps a model has, and a model that returns them."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kzoo.taps._names import OUTPUTS, canonical, resolve
from kzoo.taps._record import Recorder, recording, tensors
from kzoo.taps._source import Source
from kzoo.taps._trace import trace

SMALLEST_NORMAL = 2.0**-126


def available(model, layers=False):
    """The taps of a model and their shapes.

    Args:
        model: any built `keras.Model`: functional, `Sequential`, nested or subclassed.
        layers: whether to list every layer and op that runs as well, by its path.

    Returns:
        A dict from name to shape, with `None` for the batch and for sizes that the model leaves
        open, in the order of the pass: `stem`, `stage1`, ..., `pooled`, `logits`, `predictions`,
        as far as the model has them.

    Raises:
        ValueError: for what is no model, or one whose input shape is not known yet.

    Example:

    ```python
    import keras
    from kzoo import taps

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    taps.available(model)["logits"]  # (None, 3)
    ```
    """
    seen = trace(model)
    found = {name: tap.tensor for name, tap in canonical(seen, model).items()}
    if layers:
        for event in seen.events:
            if len(event.outputs) == 1 and len(seen.paths[event.path]) == 1:
                found.setdefault(event.path, event.outputs[0])
    return {name: seen.shape(tensor) for name, tensor in found.items()}


def extractor(model, taps, pre_activation=False):
    """A model that returns features of `model` by name, all from one forward pass.

    It runs `model` itself, so layers, weights, statistics, losses and noise are those of the
    model, and the model stays as it is. It works on flat, nested, shared and subclassed models.

    A tap is written `name[:call][:pre]`:

    - `name` is one that `available` lists, the name of a layer, or a path to a nested one
      (`"backbone/stage3"`); `"outputs"` is what the model itself returns.
    - `:0`, `:1`, ... choose a call of a layer that is called several times in one pass; without
      it the last one is meant.
    - `:pre` is the tensor before the activation that ends the feature: its last ReLU, or the
      softmax of a `Dense`. A feature that no activation ends (the sum of a pre-activation block,
      a concatenation) is returned as it is.

    Args:
        model: any built `keras.Model`.
        taps: a name or a list of names.
        pre_activation: whether to read every tap as if it were written with `:pre`.

    Returns:
        An `Extractor`: `extractor(x, training=False)` is a dict from each of `taps`, as written,
        to its tensor. Its `tap_shapes` are their shapes.

    Raises:
        ValueError: for a name that the model does not have; the message lists those it has.

    Example:

    ```python
    import keras
    import numpy as np
    from kzoo import taps

    inputs = keras.Input((8, 8, 1))
    maps = keras.layers.Conv2D(4, 3, activation="relu", name="features")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pooled))
    read = taps.extractor(model, ["stage1", "features:pre", "logits", "outputs"])
    features = read(np.zeros((2, 8, 8, 1), "float32"))  # one pass, four tensors
    ```
    """
    seen = trace(model)
    names = canonical(seen, model)
    written = [taps] if isinstance(taps, str) else list(taps)
    if not written or not all(isinstance(tap, str) for tap in written):
        raise ValueError(f"`taps` must be a name or a list of names. Received: {taps!r}")
    suffix = ":pre" if pre_activation else ""
    sources = {}
    for tap in written:
        if tap != OUTPUTS:
            plain = tap if tap.endswith(suffix) else tap + suffix
            sources[tap] = resolve(seen, names, plain)
    shapes = {tap: seen.shape(found.tensor) for tap, found in sources.items()}
    # The tensors of the dry run belong to a graph that is gone.
    sources = {tap: dataclasses.replace(found, tensor=None) for tap, found in sources.items()}
    return Extractor(model, _Plan(written, sources, shapes))


class Extractor(keras.Model):
    """A model seen through its taps; made by `extractor`, never saved.

    Its weights are those of `model`. A trainer that keeps one beside the model should keep it
    out of Keras' tracking (for example in a tuple of a plain object), so that weights are saved
    once, under the model.

    Args:
        model: the model that runs.
        plan: what is read where.

    Call arguments:
        inputs: what the model takes.
        training: passed on to the model.
    """

    def __init__(self, model, plan):
        super().__init__(autocast=False, name=f"{model.name}_taps")
        self.model = model
        self._plan = plan
        self.built = True

    @property
    def tap_shapes(self):
        """Tap -> shape, as `available` gives them; without `"outputs"`."""
        return dict(self._plan.shapes)

    def build(self, input_shape):
        """The model is built already."""

    def call(self, inputs, training=None):
        """Run the model once and return what was seen at the taps."""
        capture = _Capture(self._plan.sources)
        with recording(capture, capture.operations):
            outputs = self.model(inputs, training=training)
        for tap, found in self._plan.sources.items():
            if found.operation is None:
                capture.seen[tap] = tensors(outputs)[found.index]
        return {
            tap: outputs if tap == OUTPUTS else self._read(tap, capture.seen)
            for tap in self._plan.written
        }

    def _read(self, tap, seen):
        if tap not in seen:
            raise ValueError(
                f"The layer at tap {tap!r} did not run in this pass of {self.model.name!r}. "
                "Tap a layer that always runs."
            )
        if not self._plan.sources[tap].logarithm:
            return seen[tap]
        probabilities = ops.cast(seen[tap], "float32")
        return ops.log(ops.maximum(probabilities, SMALLEST_NORMAL))


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Held as one object, so that Keras tracks none of the operations a second time."""

    written: Sequence[str]
    sources: Mapping[str, Source]
    shapes: Mapping[str, tuple]


class _Capture(Recorder):
    def __init__(self, sources):
        self.seen: dict[str, Any] = {}
        self.counts = collections.Counter()
        self.wanted = collections.defaultdict(list)
        operations = {}
        for tap, found in sources.items():
            if found.operation is not None:
                self.wanted[id(found.operation)].append((tap, found.index, found.port))
                operations[id(found.operation)] = found.operation
        self.operations = list(operations.values())

    def activated(self, operation, inputs, outputs):
        self._keep(operation, activation=inputs)

    def after(self, operation, inputs, outputs):
        self._keep(operation, input=inputs, output=outputs)
        self.counts[id(operation)] += 1

    def _keep(self, operation, **ports):
        for tap, index, port in self.wanted[id(operation)]:
            if port in ports and index in (None, self.counts[id(operation)]):
                self.seen[tap] = tensors(ports[port])[0]
