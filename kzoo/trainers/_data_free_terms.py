"""What data-free learning asks of generated images, and what it shows of them."""

import math

from keras import ops

from kzoo.taps._extractor import SMALLEST_NORMAL

_LOG_10 = math.log(10.0)


def one_hot(logits):
    """Cross-entropy of each image with the class that the teacher itself gives it."""
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    classes = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1], dtype="float32")
    return -ops.sum(classes * log_probabilities, axis=-1)


def entropy(logits):
    """Minus the entropy of the mean prediction, to base 10; a scalar.

    In log space: a class that the batch does not show at all is no NaN, nor is its gradient.
    """
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    count = ops.cast(ops.shape(log_probabilities)[0], "float32")
    log_mean = ops.logsumexp(log_probabilities, axis=0) - ops.log(count)
    return ops.sum(ops.exp(log_mean) * log_mean) / _LOG_10


def activation(features):
    """Minus the mean size of each image's features."""
    features = ops.abs(ops.cast(features, "float32"))
    return -ops.mean(features, axis=tuple(range(1, len(features.shape))))


def generated_classes(logits):
    """How many classes a batch shows: e to the entropy of their shares, 1 for one class alone."""
    classes = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1], dtype="float32")
    shares = ops.mean(classes, axis=0)
    return ops.exp(-ops.sum(shares * ops.log(ops.maximum(shares, SMALLEST_NORMAL))))
