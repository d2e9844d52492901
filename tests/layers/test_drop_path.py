import math

import numpy as np
import pytest
from keras import ops

from kzoo.layers import DropPath
from kzoo.testing.subjects import numpy


@pytest.mark.parametrize("shape", [(64,), (64, 3), (64, 5, 3), (64, 2, 5, 3), (64, 2, 2, 2, 3)])
def test_samples_are_dropped_whole_and_scaled(shape):
    y = numpy(DropPath(0.2, seed=1)(np.ones(shape, "float32"), training=True))
    flat = y.reshape(64, -1)
    assert np.all(flat == flat[:, :1])
    assert np.allclose(sorted(set(flat[:, 0])), [0.0, 1.25])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_the_rate_is_exact_in_every_precision(dtype, rate):
    # Noise in bfloat16 would drop 0.0547 for 0.05: ten standard errors off.
    count = 200_000
    y = DropPath(rate, seed=2, dtype=dtype)(np.ones((count, 1), "float32"), training=True)
    dropped = np.mean(numpy(ops.cast(y, "float32")) == 0)
    assert abs(dropped - rate) < 5 * math.sqrt(rate * (1 - rate) / count)


def test_rate_zero_is_the_identity():
    x = np.ones((4, 3), "float32")
    assert np.array_equal(numpy(DropPath(0)(x, training=True)), x)


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), "half", None])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match=r"`rate` must be a number in \[0, 1\)"):
        DropPath(rate)
