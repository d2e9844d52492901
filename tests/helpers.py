"""What many test files need: gradients on any backend, random arrays, small models."""

import numpy as np

from kzoo.testing.gradients import value_and_gradients

__all__ = ["random_array", "value_and_gradients"]


def random_array(*shape, seed=0, scale=1.0, dtype="float32"):
    """Standard normal values, the same for the same seed."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)
