import keras
import numpy as np
import pytest

from kzoo.recipes import build
from kzoo.recipes.schema import LossSection, OptimizerSection
from tests.helpers import random_array


def test_weight_decay_is_coupled_with_momentum_as_in_the_papers():
    # w' = w - lr * v, v = m * v + (g + decay * w), g = 0, three steps from w = 1:
    # 0.994395 for lr 0.1, momentum 0.9, decay 1e-2; decoupled decay would give 0.997003.
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, name="logits")(inputs))
    model.layers[-1].kernel.assign([[1.0]])
    build.add_weight_decay(model, 1e-2)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss=lambda y, p: 0.0 * p)
    zeros = np.zeros((3, 1), "float32")
    model.fit(zeros, zeros, batch_size=1, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], 0.994395, atol=1e-5)


def test_weight_decay_reaches_kernels_only():
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization(name="bn")(keras.layers.Dense(3, name="dense")(inputs))
    model = keras.Model(inputs, x)
    build.add_weight_decay(model, 0.5)
    expected = 0.25 * np.sum(np.square(model.get_layer("dense").get_weights()[0]))
    model(random_array(2, 4))
    np.testing.assert_allclose(
        sum(keras.ops.convert_to_numpy(v) for v in model.losses), expected, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("fields", "step", "expected"),
    [
        ({"schedule": "constant"}, 5, 0.1),
        ({"schedule": "cosine"}, 0, 0.1),
        ({"schedule": "cosine"}, 20, 0.05),
        ({"schedule": "cosine"}, 40, 0.0),
        ({"schedule": "cosine", "warmup_epochs": 1}, 0, 0.01),
        ({"schedule": "cosine", "warmup_epochs": 1}, 10, 0.1),
        ({"schedule": "cosine", "warmup_epochs": 1}, 40, 0.0),
        ({"schedule": "step"}, 19, 0.1),
        ({"schedule": "step"}, 21, 0.01),
        ({"schedule": "step"}, 31, 0.001),
    ],
)
def test_learning_rate(fields, step, expected):
    rate = build.learning_rate(OptimizerSection(**fields), epochs=4, steps=10)
    value = rate if isinstance(rate, float) else keras.ops.convert_to_numpy(rate(step))
    np.testing.assert_allclose(value, expected, atol=1e-7)


def test_the_size_of_the_data_goes_only_where_it_is_asked_for():
    clock = build.Clock(epochs=2, steps=3, samples=50)
    assert build.loss(LossSection(name="CRD"), clock).num_samples == 50
    assert build.loss(LossSection(name="BSS"), clock).num_samples == 64
