"""Small models and readers for the tests of kzoo.taps."""

import keras
from keras import layers, ops

from kzoo import taps
from tests.helpers import random_array


def read(model, *names, inputs=None):
    """The features of `model` as NumPy, for random inputs of its shape."""
    if inputs is None:
        inputs = random_array(2, *model.input_shape[1:])
    features = taps.extractor(model, list(names))(inputs)
    return [ops.convert_to_numpy(features[name]) for name in names]


def numpy(features):
    return {name: ops.convert_to_numpy(feature) for name, feature in features.items()}


def plain_net(head=()):
    return keras.Sequential(
        [
            keras.Input((16, 12, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="one"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(6, 3, padding="same", name="two"),
            layers.ReLU(name="two_relu"),
            layers.MaxPooling2D(name="pool2"),
            *head,
        ],
        name="plain",
    )


def small_net():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, activation="relu", name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dropout(0.5, seed=1, name="drop")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="dense")(x), name="small")


class Counted(layers.Layer):
    """Counts its passes, and fails when told to."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.passes = 0
        self.fail = False

    def call(self, inputs):
        self.passes += 1
        if self.fail:
            raise RuntimeError("told to fail")
        return inputs * 2.0


def counted_net():
    counted = Counted(name="counted")
    inputs = keras.Input((4,))
    x = layers.Dense(3, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="dense")(counted(x))), counted


class Subclassed(keras.Model):
    """A residual block and a pooling that no layer shows."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Conv2D(4, 3, padding="same", name="first")
        self.branches = [layers.Conv2D(4, 3, padding="same", name=f"branch{n}") for n in (0, 1)]
        self.act = layers.ReLU(name="act")
        self.shrink = layers.Conv2D(6, 3, 2, padding="same", activation="relu", name="shrink")
        self.head = layers.Dense(3, name="head")
        self.unused = layers.Dense(3, name="unused")
        self.unused.build((None, 3))

    def call(self, inputs):
        x = self.first(inputs)
        x = self.act(x + self.branches[1](ops.relu(self.branches[0](x))))
        return self.head(ops.mean(self.shrink(x), axis=(1, 2)))
