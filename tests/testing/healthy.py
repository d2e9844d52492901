"""Small healthy things that pass the batteries: what the mutants in `mutants.py` spoil."""

import keras
import numpy as np
from keras import ops

from kzoo.registry import Entry

registered = keras.saving.register_keras_serializable(package="kzoo_tests")


@registered
class ConvNorm(keras.layers.Layer):
    """A convolution, batch normalisation and an activation.

    Where a test needs a layer with children, statistics and weights.

    Reference:
        Nobody, "Nothing", arXiv:0000.00000.

    Args:
        filters: number of output channels.
        activation: what comes last.
        mode: `"same"` or `"valid"` padding.

    Call arguments:
        x: the map.
        training: whether the statistics of the batch are used.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters)`.

    Example:

    ```python
    import numpy as np
    from tests.testing.healthy import ConvNorm

    assert ConvNorm(3)(np.zeros((1, 4, 4, 2), "float32")).shape == (1, 4, 4, 3)
    ```
    """

    def __init__(self, filters, activation="sigmoid", mode="same", **kwargs):
        super().__init__(**kwargs)
        if mode not in ("same", "valid"):
            raise ValueError(f"`mode` must be 'same' or 'valid'. Received: mode={mode!r}")
        self.filters = filters
        self.activation = keras.activations.get(activation)
        self.mode = mode
        self.conv = keras.layers.Conv2D(
            filters, 3, padding=mode, use_bias=False, **self.child("conv")
        )
        self.norm = keras.layers.BatchNormalization(momentum=0.9, **self.child("norm"))

    def child(self, name):
        return {"dtype": self.dtype_policy, "name": name}

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build(self.conv.compute_output_shape(input_shape))

    def call(self, x, training=None):
        return self.activation(self.norm(self.conv(x), training=training))

    def compute_output_shape(self, input_shape):
        return self.conv.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "mode": self.mode,
        }


@registered
class Noise(keras.layers.Layer):
    """Multiplies by random values near one when training."""

    def __init__(self, rate=0.5, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        return self.noisy(x) if training else x

    def noisy(self, x):
        low, high = 1.0 - self.rate, 1.0 + self.rate
        return x * keras.random.uniform(ops.shape(x), low, high, x.dtype, seed=self.generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def soft_kl(teacher, student, temperature=4.0):
    """Softened Kullback-Leibler divergence.

    Args:
        teacher: logits.
        student: logits.
        temperature: divides both.
    """
    teacher = ops.stop_gradient(ops.cast(teacher, "float32")) / temperature
    student = ops.cast(student, "float32") / temperature
    t, s = ops.log_softmax(teacher), ops.log_softmax(student)
    return temperature**2 * ops.sum(ops.exp(t) * (t - s), axis=-1)


@registered
class SoftKl(keras.layers.Layer):
    """Softened Kullback-Leibler divergence; subclasses replace `function`."""

    function = staticmethod(soft_kl)

    def __init__(self, temperature=4.0, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        self.temperature = temperature

    def build(self, teacher_shape, student_shape):
        pass

    def call(self, teacher, student):
        return self.function(teacher, student, temperature=self.temperature)

    def compute_output_shape(self, teacher_shape, student_shape):
        return (student_shape[0],)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@registered
class FanNormal(keras.initializers.Initializer):
    """Normal values with the variance 1 / fan in."""

    def __init__(self, seed=None):
        self.seed = seed if seed is not None else int(np.random.default_rng().integers(1 << 31))

    def __call__(self, shape, dtype=None):
        deviation = float(self.variance(shape)) ** 0.5
        return keras.random.normal(shape, 0.0, deviation, dtype=dtype, seed=self.seed)

    def variance(self, shape):
        return 1.0 / np.prod(shape[:-1])

    def get_config(self):
        return {"seed": self.seed}


def layer_entry(target, **facts):
    """An entry of a layer with the arguments of its healthy form."""
    noise = issubclass(target, Noise)
    args = {"rate": 0.5} if noise else {"filters": 3}
    tiny = {"args": args, "input_shape": (2, 6, 6, 2)}
    facts = {"training": "noise" if noise else "statistics", **facts}
    return Entry("layer", target.__name__, target, paper="arXiv:0000.00000", tiny=tiny, facts=facts)


def loss_entry(target):
    """An entry of a loss of logits."""
    tiny = {"args": {}, "teacher_shape": (4, 5), "student_shape": (4, 5)}
    facts = {"per_sample": True, "zero_at_equal": True, "logits": True}
    return Entry("loss", target.__name__, target, tiny=tiny, facts=facts)


def initializer_entry(target):
    """An entry of an initialiser."""
    facts = {"mean": lambda shape: 0.0, "variance": lambda shape: 1.0 / np.prod(shape[:-1])}
    tiny = {"args": {}, "shape": (3, 3, 4, 8)}
    return Entry("initializer", target.__name__, target, tiny=tiny, facts=facts)
