import keras
import numpy as np
import pytest
from keras import ops

from kzoo.layers import DenseTransition
from tests.helpers import random_array, value_and_gradients

EXACT = "float64" if keras.backend.backend() == "tensorflow" else "float32"
TOLERANCE = 1e-5 if EXACT == "float32" else 1e-13


def transition(x, **arguments):
    layer = DenseTransition(dtype=EXACT, name="transition", **arguments)
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(np.abs(rng.standard_normal(weight.shape)) - 0.3 * (weight.name == "beta"))
    return layer


@pytest.mark.parametrize("shape", [(2, 4, 6, 5), (2, 5, 7, 6)])
def test_pooling_first_changes_nothing(shape):
    x = random_array(*shape, dtype=EXACT)
    pooled_first, pooled_last = transition(x), transition(x, dropout_rate=0.5)
    assert pooled_first.conv.pool
    assert not pooled_last.conv.pool
    first, last = (ops.convert_to_numpy(layer(x)) for layer in (pooled_first, pooled_last))
    assert first.shape == (2, shape[1] // 2, shape[2] // 2, shape[3] // 2)
    np.testing.assert_allclose(first, last, rtol=0, atol=TOLERANCE * np.max(np.abs(last)))


def test_equals_an_independent_reference():
    x = random_array(2, 4, 6, 4, dtype=EXACT)
    layer = transition(x)
    values = {w.path: ops.convert_to_numpy(w) for w in layer.weights}
    norm = "transition/conv/norm/"
    y = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    y = np.maximum(y * values[norm + "gamma"] + values[norm + "beta"], 0)
    y = y @ values["transition/conv/conv/kernel"][0, 0]
    y = y.reshape(2, 2, 2, 3, 2, 2).mean((2, 4))
    found = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(found, y, atol=100 * TOLERANCE)


@pytest.mark.parametrize("dropout_rate", [0.0, 0.25])
def test_recomputation_changes_nothing(dropout_rate):
    x = random_array(2, 4, 6, 4, dtype=EXACT)
    target = ops.convert_to_tensor(random_array(2, 2, 3, 2, seed=2, dtype=EXACT))
    results = []
    for memory_efficient in (False, True):
        layer = transition(x, dropout_rate=dropout_rate, seed=3, memory_efficient=memory_efficient)

        def loss(inputs, layer=layer):
            return ops.mean(ops.square(layer(inputs, training=True) - target))

        value, by_weight, by_input = value_and_gradients(loss, layer.trainable_weights, [x])
        if keras.backend.backend() == "jax":
            layer(x, training=True)  # gradients on JAX drop the updates of variables
        moved = [w for w in layer.non_trainable_weights if w.name.startswith("moving_")]
        moved = [ops.convert_to_numpy(weight) for weight in moved]
        results.append([np.asarray(value), *by_weight, *by_input, *moved])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=10 * TOLERANCE)


def test_dropout_comes_before_pooling():
    x = random_array(4, 32, 32, 20)
    layer = DenseTransition(dropout_rate=0.5, seed=1)
    layer(x)
    seen = []

    def zeros(values, rate, seed):
        seen.append(tuple(values.shape))
        return values * 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.random, "dropout", zeros)
        dropped = ops.convert_to_numpy(layer(x, training=True))
    assert seen == [(4, 32, 32, 10)]
    assert not dropped.any()
    # A position is 0 only where all four of its window are dropped.
    share = np.mean(ops.convert_to_numpy(layer(x, training=True)) == 0)
    assert abs(share - 0.5**4) < 0.01


@pytest.mark.parametrize(
    ("reduction", "channels", "filters"), [(0.5, 7, 3), (1, 7, 7), (0.29, 100, 29), (0.5, 216, 108)]
)
def test_number_of_filters_is_rounded_down(reduction, channels, filters):
    layer = DenseTransition(reduction)
    assert layer.compute_output_shape((None, 4, None, channels)) == (None, 2, None, filters)


@pytest.mark.parametrize("reduction", [0, -0.5, 1.5])
def test_wrong_reductions_are_refused(reduction):
    with pytest.raises(ValueError, match=rf"in \(0, 1\]. Received: reduction={reduction}"):
        DenseTransition(reduction)


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="must be at least 2"):
        DenseTransition().build((None, 1, 8, 4))
    with pytest.raises(ValueError, match="leaves no map of 1"):
        DenseTransition().build((None, 8, 8, 1))
    with pytest.raises(ValueError, match="height, width, channels"):
        DenseTransition().build((None, 8))
    with pytest.raises(ValueError, match="dropout_rate=1"):
        DenseTransition(dropout_rate=1)
