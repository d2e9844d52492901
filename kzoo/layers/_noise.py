"""Random masks, drawn in float32 whatever the policy of the layer is.

In float16 a uniform number is a multiple of 1/2048 or worse, in bfloat16 of 1/128,
which is too coarse to compare with a small rate.
"""

import keras
from keras import ops


def happens(shape, probability, seed):
    """Booleans of `shape` that are true with `probability`, a number or a scalar tensor."""
    return keras.random.uniform(shape, dtype="float32", seed=seed) < probability


def inverted_mask(shape, rate, seed):
    """Float32 values that are 0 with probability `rate`, else 1 / (1 - rate)."""
    return ops.cast(happens(shape, 1.0 - rate, seed), "float32") / (1.0 - rate)
