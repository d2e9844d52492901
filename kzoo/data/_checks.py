"""Checks at the door of kzoo.data."""

import numpy as np


def integer(name, value, minimum=0):
    """The value as an int.

    Raises:
        ValueError: where it is no integer in `[minimum, 2**32)`.
    """
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or not minimum <= value < 2**32:
        raise ValueError(
            f"`{name}` must be an integer in [{minimum}, 2**32). Received: {name}={value!r}"
        )
    return int(value)


def split_arguments(validation_fraction, train_size, seed):
    """Whether a data set can be split like that, as far as the numbers tell."""
    if not 0 <= validation_fraction < 1:
        raise ValueError(
            "`validation_fraction` must be in [0, 1). "
            f"Received: validation_fraction={validation_fraction}"
        )
    if train_size is not None:
        integer("train_size", train_size, minimum=1)
    integer("seed", seed)


def classes_left(raw, train, validation, validation_fraction):
    """Whether the split left images to validate with, and of every class to train with."""
    if validation_fraction and not len(validation):
        raise ValueError(
            f"`validation_fraction` is too small to give one image of {len(raw.train_labels)}. "
            f"Received: validation_fraction={validation_fraction}"
        )
    lost = np.setdiff1d(raw.train_labels, raw.train_labels[train])
    if len(lost):
        raise ValueError(
            f"No training image is left of class {raw.class_names[lost[0]]!r}. Give it more "
            "images, a smaller `validation_fraction` or a larger `train_size`."
        )
