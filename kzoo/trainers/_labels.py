"""Classes out of predictions and labels, for the diagnostics of a classifier."""

import math
import warnings

import keras
from keras import ops


def class_of(outputs):
    """The predicted class of each sample; `None` where the output is no vector of classes."""
    if keras.tree.is_nested(outputs) or len(outputs.shape) != 2 or outputs.shape[-1] < 2:
        return None
    return ops.cast(ops.argmax(outputs, axis=-1), "int32")


def labels_of(y, classes):
    """The label of each sample, from integers or one-hot rows; `None` where `y` holds no labels."""
    if y is None or keras.tree.is_nested(y):
        return None
    if len(y.shape) == 2 and y.shape[-1] == classes:
        return ops.cast(ops.argmax(y, axis=-1), "int32")
    if len(y.shape) == 1 or (len(y.shape) == 2 and y.shape[-1] == 1):
        return ops.cast(ops.reshape(y, (-1,)), "int32")
    return None


def labels_for(outputs, y):
    """The label of each sample, where the outputs are those of a classifier."""
    return None if class_of(outputs) is None else labels_of(y, outputs.shape[-1])


def warn_of_chance(name, accuracy, classes, samples):
    """Warn where a teacher is within two standard deviations of guessing, on enough samples."""
    chance = 1.0 / classes
    deviation = math.sqrt(chance * (1.0 - chance) / max(samples, 1.0))
    if samples >= 20 * classes and accuracy <= chance + 2.0 * deviation:
        warnings.warn(
            f"The teacher {name!r} is right for {accuracy:.1%} of the samples, no better than "
            f"chance ({chance:.1%} of {classes} classes). Is it trained, are its inputs "
            "preprocessed as it expects, are its classes in the same order?",
            stacklevel=2,
        )
