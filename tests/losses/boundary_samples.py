"""Samples, a teacher and NumPy for the tests of boundary supporting samples."""

import numpy as np
from keras import ops

from tests.helpers import random_array

KERNEL = random_array(4, 3, seed=9)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def read(x):
    """Logits that are not linear in x."""
    return ops.matmul(ops.tanh(x), KERNEL)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def samples(count=12):
    """Inputs with the teacher's own labels, and another class each."""
    x = random_array(count, 4, seed=4)
    labels = (np.tanh(x) @ KERNEL).argmax(-1).astype("int32")
    return x, labels, ((labels + 1 + np.arange(count) % 2) % 3).astype("int32")
