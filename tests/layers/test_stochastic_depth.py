import math

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.layers import StochasticDepth
from kzoo.testing.subjects import numpy
from tests.helpers import random_array, value_and_gradients

SHORTCUT = random_array(5, 4, 3, 2)
ONES = np.ones_like(SHORTCUT)


def factors(layer, draws):
    """What multiplies the residual branch in each of some training calls."""
    shortcut = np.zeros((3, 2), "float32")
    residual = np.ones((3, 2), "float32")
    calls = [numpy(layer([shortcut, residual], training=True)) for _ in range(draws)]
    assert all(np.all(call == call.flat[0]) for call in calls)  # one draw for the batch
    return np.array([call.flat[0] for call in calls])


@pytest.mark.parametrize(
    ("scaling", "kept", "inference"),
    [
        ("paper", 1.0, 0.7),
        ("inverted", 1 / 0.7, 1.0),
    ],
)
def test_draws_and_inference(scaling, kept, inference):
    layer = StochasticDepth(0.3, scaling, seed=1)
    drawn = factors(layer, 200)
    assert np.allclose(sorted(set(drawn)), [0.0, kept])
    assert abs(np.mean(drawn > 0) - 0.7) < 5 * math.sqrt(0.21 / 200)
    y = numpy(layer([SHORTCUT, ONES], training=False))
    assert np.allclose(y - SHORTCUT, inference, atol=1e-6)


def test_the_shortcut_is_never_scaled():
    layer = StochasticDepth(0.9, seed=1)
    for training in (False, True):
        y = numpy(layer([SHORTCUT, 0 * ONES], training=training))
        assert np.array_equal(y, SHORTCUT)


def test_a_dropped_branch_gets_no_gradient():
    layer = StochasticDepth(0.5, seed=1)
    seen = set()
    for _ in range(20):
        _, _, (shortcut, residual) = value_and_gradients(
            lambda a, b: ops.sum(layer([a, b], training=True)), inputs=[SHORTCUT, ONES]
        )
        assert np.all(shortcut == 1)
        assert np.all(residual == residual.flat[0])
        seen.add(float(residual.flat[0]))
        if keras.backend.backend() == "jax":  # its gradients drop updates of the seed's state
            layer.seed_generator.next()
    assert seen == {0.0, 1.0}


def two_inputs(layer):
    inputs = [keras.Input((4, 3, 2), name=name) for name in ("shortcut", "residual")]
    return keras.Model(inputs, layer(inputs))


def test_each_step_of_fit_draws_anew():
    layer = StochasticDepth(0.5, seed=4)
    inputs = [keras.Input((1,), name=name) for name in ("shortcut", "residual")]
    outputs = keras.layers.Dense(1, kernel_initializer="ones")(layer(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), loss=lambda target, output: ops.mean(output))
    zeros, ones = np.zeros((2, 1), "float32"), np.ones((2, 1), "float32")
    losses = [float(model.train_on_batch([zeros, ones], zeros)) for _ in range(20)]
    assert set(losses) == {0.0, 1.0}


def test_config_file_and_shapes(tmp_path):
    layer = StochasticDepth(0.25, "inverted", seed=3, name="block")
    assert StochasticDepth.from_config(layer.get_config()).get_config() == layer.get_config()
    model = two_inputs(layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("block").get_config() == layer.get_config()
    assert np.array_equal(loaded([SHORTCUT, ONES]), model([SHORTCUT, ONES]))
    shapes = [(None, 4, None, 2), (None, 4, 3, 2)]
    assert layer.compute_output_shape(shapes) == (None, 4, 3, 2)


@pytest.mark.parametrize("scaling", ["paper", "inverted"])
@pytest.mark.parametrize("training", [False, True])
def test_mixed_precision(scaling, training):
    layer = StochasticDepth(0.25, scaling, seed=3, dtype="mixed_float16")
    y = layer([SHORTCUT, ONES], training=training)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`rate` must be a number in \[0, 1\)"):
        StochasticDepth(1.0)
    with pytest.raises(ValueError, match='`scaling` must be "paper" or "inverted"'):
        StochasticDepth(0.5, "test")


@pytest.mark.parametrize(
    "inputs",
    [
        SHORTCUT,
        [SHORTCUT],
        [SHORTCUT, ONES[..., :1]],
        [SHORTCUT, ONES[0]],
        [SHORTCUT, ONES, ONES],
    ],
)
def test_bad_inputs(inputs):
    with pytest.raises(ValueError, match=r"takes a list \[shortcut, residual\]"):
        StochasticDepth(0.5)(inputs)
