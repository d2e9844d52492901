"""What the tests of the trainers on pairs share: a smooth network, and NumPy in float64."""

import keras
import numpy as np
from keras import ops

CLASSES = 3
X = np.random.default_rng(3).standard_normal((8, 3)).astype("float32")
Y = np.tile([0, 2, 1, 2], 2)
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 1.5, 1.0, 3.0, 0.5], "float32")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def eager():
    return keras.backend.backend() == "tensorflow"


def network(seed=0):
    """Three numbers, four tanh features, three logits."""
    keras.utils.set_random_seed(seed)
    start = keras.initializers.RandomNormal(stddev=1.0)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, "tanh", kernel_initializer=start, name="features"),
            keras.layers.Dense(CLASSES, kernel_initializer=start, name="logits"),
        ],
        name="network",
    )


def compiled(trainer, optimizer=None, **options):
    optimizer = optimizer or keras.optimizers.SGD(1.0)
    trainer.compile(optimizer, **{"loss": LOSS, "run_eagerly": eager(), **options})
    return trainer


def step(trainer, x=X, y=Y, sample_weight=None):
    """The logs of one step, and the gradient that plain SGD with rate 1 has taken."""
    before = exact(trainer.trainable_variables)
    logs = trainer.train_on_batch(x, y, sample_weight, return_dict=True)
    after = exact(trainer.trainable_variables)
    gradients = [old - new for old, new in zip(before, after, strict=True)]
    return {name: float(value) for name, value in logs.items()}, gradients


def exact(variables):
    return [np.array(ops.convert_to_numpy(v), "float64") for v in variables]


def forward(weights, x):
    """Features and logits of `network`."""
    features = np.tanh(np.asarray(x, "float64") @ weights[0] + weights[1])
    return features, features @ weights[2] + weights[3]


def gradients(loss, weights, width=1e-5):
    """Central differences of a function of a list of arrays."""
    found = [np.zeros_like(w) for w in weights]
    for weight, gradient in zip(weights, found, strict=True):
        for place in np.ndindex(*weight.shape):
            start = weight[place]
            ends = []
            for shift in (width, -width):
                weight[place] = start + shift
                ends.append(loss(weights))
            weight[place] = start
            gradient[place] = (ends[0] - ends[1]) / (2.0 * width)
    return found


def log_softmax(logits, temperature=1.0):
    z = logits / temperature
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def cross_entropy(logits, labels, weights=1.0):
    return np.mean(-log_softmax(logits)[np.arange(len(labels)), labels] * weights)


def divergence(first, second, temperature=1.0):
    """T² KL(softmax(first / T) || softmax(second / T)), one value a pair."""
    p, q = log_softmax(first, temperature), log_softmax(second, temperature)
    return temperature**2 * np.sum(np.exp(p) * (p - q), axis=-1)


def expect_gradients(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)


def furthest(found, expected):
    pairs = zip(found, expected, strict=True)
    return max(np.abs(one - other).max() for one, other in pairs)


class Penalty(keras.layers.Layer):
    """Adds the sum of what passes to the loss, and half of it a second time."""

    def call(self, x):
        self.add_loss(ops.sum(x))
        self.add_loss(ops.sum(x) / 2.0)
        return x


def plain(*layers):
    """Layers on three numbers, then logits that start at fixed values."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((3,)), *layers, keras.layers.Dense(CLASSES, name="logits")], name="plain"
    )


def on_digits():
    """A classifier of digits with batch statistics and noise."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, "relu"),
            keras.layers.BatchNormalization(name="hidden"),
            keras.layers.GaussianNoise(0.1, name="noise"),
            keras.layers.Dense(10, name="logits"),
        ],
        name="student",
    )
