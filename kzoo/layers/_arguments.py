"""Validation that several layers share: each returns the value it accepts."""

import math

import keras


def finite(value, name):
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    return value


def fraction(value, name="rate"):
    """A number in [0, 1) as a Python float; takes scalars of any library."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 <= number < 1.0:
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {name}={value!r}")
    return number


def pair(value, name):
    """A positive integer, or a tuple of two for height and width."""
    sizes = (value, value) if isinstance(value, int) else value
    legal = (
        isinstance(sizes, tuple | list)
        and len(sizes) == 2
        and all(isinstance(size, int) and size > 0 for size in sizes)
    )
    if not legal:
        raise ValueError(
            f"`{name}` must be a positive integer or two of them, for height and width. "
            f"Received: {name}={value!r}"
        )
    return tuple(sizes)


def data_format(value):
    """`"channels_last"` or `"channels_first"`; Keras' setting for `None`."""
    if value is None:
        return keras.config.image_data_format()
    if value not in ("channels_last", "channels_first"):
        raise ValueError(
            '`data_format` must be "channels_last" or "channels_first". '
            f"Received: data_format={value!r}"
        )
    return value
