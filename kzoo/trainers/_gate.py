"""The gate of ONE: which network to trust for which image."""

import keras
from keras import ops


def gate(count, dtype=None):
    """A model from features `(batch, channels)` to weights of `count` networks that sum to 1."""
    return keras.Sequential(
        [
            keras.layers.Dense(count, dtype=dtype, name="gate_dense"),
            keras.layers.BatchNormalization(dtype=dtype, name="gate_norm"),
            keras.layers.Activation("relu", dtype=dtype, name="gate_relu"),
            keras.layers.Softmax(dtype="float32", name="gate_softmax"),
        ],
        name="gate",
    )


def gate_features(features):
    """The networks' features side by side, maps as their means over space."""
    pooled = [
        ops.mean(found, axis=tuple(range(1, len(found.shape) - 1)))
        if len(found.shape) > 2
        else found
        for found in features
    ]
    return ops.concatenate(pooled, axis=-1)
