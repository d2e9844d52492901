"""Trained embeddings of features."""

import math

import keras


def embedding(name, feature_shape, size, dtype):
    """A built dense layer of `size` units for a flattened feature."""
    made = keras.layers.Dense(size, dtype=dtype, name=name)
    made.build((None, math.prod(feature_shape[1:])))
    return made
