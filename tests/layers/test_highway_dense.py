import keras
import numpy as np
import pytest

from kzoo.layers import HighwayDense
from kzoo.testing.subjects import numpy
from tests.helpers import random_array


def built(features=8, **arguments):
    layer = HighwayDense(**arguments)
    layer.build((None, features))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


def test_formula_against_numpy():
    layer, x = built(activation="tanh"), random_array(5, 8)
    w, b, w_gate, b_gate = (numpy(v) for v in layer.weights)
    gate = sigmoid(x @ w_gate + b_gate)
    expected = np.tanh(x @ w + b) * gate + x * (1 - gate)
    assert np.allclose(numpy(layer(x)), expected, atol=1e-6)
    assert np.all(b == 0)
    assert np.all(b_gate == -1)


@pytest.mark.parametrize("bias", [-4.0, -8.0, -12.0])
def test_a_closed_gate_is_the_identity_within_the_bound(bias):
    layer, x = built(transform_bias=bias), random_array(5, 8)
    layer.gate.kernel.assign(np.zeros((8, 8)))
    distance = np.abs(numpy(layer(x)) - x).max()
    reach = np.abs(numpy(layer.transform(x)) - x).max()
    assert distance <= sigmoid(bias) * reach + 1e-6
    assert distance >= 0.5 * sigmoid(bias) * reach - 1e-6


def test_the_ends_of_the_gate_are_exact():
    x = random_array(5, 8)
    assert np.array_equal(numpy(built(transform_bias=-200.0)(x)), x)
    plain = built(transform_bias=200.0)
    dense = keras.layers.Dense(8, activation="relu")
    dense.build((None, 8))
    dense.set_weights(plain.transform.get_weights())
    assert np.array_equal(numpy(plain(x)), numpy(dense(x)))


@pytest.mark.parametrize(("bias", "expected"), [(-1.0, 0.269), (-2.0, 0.119)])
def test_mean_gate_at_the_start(bias, expected):
    layer = built(64, transform_bias=bias)
    gate = numpy(layer.gate(random_array(256, 64, scale=0.1)))
    assert gate.mean() == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("seed", [None, 3, "generator"])
def test_transform_and_gate_start_with_different_kernels(seed):
    seed = keras.random.SeedGenerator(3) if seed == "generator" else seed
    layer = built(32, kernel_initializer=keras.initializers.GlorotUniform(seed))
    a, b = (numpy(part.kernel) for part in (layer.transform, layer.gate))
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert abs(correlation) < 5 / 32  # five standard errors of 1024 pairs


def test_a_seeded_initializer_reproduces():
    first, second = (
        built(kernel_initializer=keras.initializers.HeNormal(seed=9)).get_weights()
        for _ in range(2)
    )
    assert all(map(np.array_equal, first, second))


def test_the_regulariser_reaches_both_kernels_and_no_bias():
    layer = built(kernel_regularizer=keras.regularizers.L2(0.5))
    regularised = [v.path.split("/", 1)[1] for v in layer.weights if v.regularizer]
    assert regularised == ["transform/kernel", "gate/kernel"]
    kernels = [numpy(part.kernel) for part in (layer.transform, layer.gate)]
    expected = sum(0.5 * np.sum(np.square(k)) for k in kernels)
    assert float(numpy(sum(layer.losses))) == pytest.approx(expected, rel=1e-5)


def test_parameters_and_other_ranks():
    layer = built(50)
    assert layer.count_params() == 2 * (50 * 50 + 50)
    assert layer(random_array(2, 7, 50)).shape == (2, 7, 50)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`transform_bias` must be a finite number"):
        HighwayDense(transform_bias=float("-inf"))
    with pytest.raises(ValueError, match="gives as many features as it gets"):
        HighwayDense().build((None, None))
