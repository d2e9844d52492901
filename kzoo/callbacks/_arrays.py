"""Values of variables as NumPy arrays."""

import keras
import numpy as np


def array(variable):
    """A copy of the value, in a type that NumPy files know."""
    value = keras.ops.convert_to_numpy(variable)
    # NumPy files do not know bfloat16; float32 holds each of its values exactly.
    # A copy, because torch shows the memory of the variable itself.
    return np.array(value, dtype="float32" if value.dtype.kind == "V" else None)


def finite(value):
    """Whether an array holds neither NaN nor infinity."""
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())
