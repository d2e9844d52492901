"""Which batch normalisation gave a feature its mean and deviation."""

import keras

from kzoo.taps._names import canonical, resolve
from kzoo.taps._source import ACTIVATIONS, makers
from kzoo.taps._trace import trace

_PASSING = ACTIVATIONS | {
    "Add",
    "AlphaDropout",
    "DropBlock2D",
    "DropPath",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "SpatialDropout2D",
    "StochasticDepth",
    "ZeroPadding2D",
}


def normalization_before(model, tap, pre_activation=True):
    """The `BatchNormalization` that normalises the feature at a tap, `None` where there is none.

    It walks upstream from the tap, through sums, activations, padding and noise, to the nearest
    batch normalisation with as many channels. Where both branches of a sum end in one (a block
    with a projection), that of the last summand is taken, which by custom is not the shortcut.

    A pre-activation block ends in a convolution, so its sum has none: tap the batch normalisation
    of the next block by its name instead.

    Args:
        model: any built `keras.Model`.
        tap: what `kzoo.taps.extractor` takes, for example `"stage2"` or `"backbone/block3_bn"`.
        pre_activation: whether to start before the activation that ends the feature.

    Returns:
        The layer, or `None`.

    Raises:
        ValueError: for a name that the model does not have; the message lists those it has.

    Example:

    ```python
    import keras
    from kzoo import taps

    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    maps = keras.layers.BatchNormalization(name="norm")(maps)
    model = keras.Model(inputs, keras.layers.ReLU(name="features")(maps))
    taps.normalization_before(model, "features").name  # "norm"
    ```
    """
    seen = trace(model)
    spelling = tap + ":pre" if pre_activation and not tap.endswith(":pre") else tap
    front = [resolve(seen, canonical(seen, model), spelling).tensor]
    channels = front[0].shape[-1]
    visited = set()
    while front:
        upstream = []
        for tensor in front:
            visited.add(id(tensor))
            for event in makers(seen, tensor):
                if _normalizes(event, channels):
                    return event.operation
                upstream += _passed_on(event, tensor)
        front = [tensor for tensor in upstream if id(tensor) not in visited]
    return None


def _normalizes(event, channels):
    normal = isinstance(event.operation, keras.layers.BatchNormalization)
    return normal and event.shape[-1] == channels


def _passed_on(event, tensor):
    """What an event read, from the last to the first, where it hands that on."""
    if event.activated and event.activated[1] is tensor:
        return [event.activated[0]]
    return event.inputs[::-1] if event.kind in _PASSING else []
