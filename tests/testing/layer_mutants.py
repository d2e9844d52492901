"""Layers and initialisers with one planted fault each."""

import functools

import keras
import numpy as np
from keras import ops

from tests.testing.healthy import (
    ConvNorm,
    FanNormal,
    Noise,
    initializer_entry,
    layer_entry,
    registered,
)


@registered
class ForgetsArgument(ConvNorm):
    def get_config(self):
        config = super().get_config()
        del config["mode"]
        return config


@registered
class KeepsDefault(ConvNorm):
    def get_config(self):
        return {**super().get_config(), "mode": "same"}


@registered
class RestoresWrongly(ConvNorm):
    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "filters": 3})


class Unregistered(ConvNorm):
    pass


@registered
class ConfigIsNotJson(ConvNorm):
    def get_config(self):
        return {**super().get_config(), "activation": self.activation}


@registered
class IgnoresPolicy(ConvNorm):
    def child(self, name):
        return {"name": name}


@registered
class AutomaticNames(ConvNorm):
    def child(self, name):
        return {"dtype": self.dtype_policy}


@registered
class DeadWeight(ConvNorm):
    def build(self, input_shape):
        super().build(input_shape)
        self.unused = self.add_weight(shape=(3,), name="unused")


@registered
class ConstantTerm(ConvNorm):
    def call(self, x, training=None):
        return super().call(ops.stop_gradient(x), training=training)


@registered
class BuildsInCall(ConvNorm):
    def build(self, input_shape):
        pass


@registered
class LateVariable(ConvNorm):
    """Slips past Keras' lock: the variable belongs to a layer that `build` never saw."""

    def call(self, x, training=None):
        x = super().call(x, training=training)
        if "late" not in self.__dict__:
            self._tracker.unlock()
            self.late = keras.layers.Dense(3, dtype=self.dtype_policy, name="late")
        return self.late(x)


@registered
class UpdatesTwice(ConvNorm):
    def call(self, x, training=None):
        self.norm(self.conv(x), training=training)
        return super().call(x, training=training)


@registered
class NeverUpdates(ConvNorm):
    def call(self, x, training=None):
        return super().call(x, training=False)


@registered
class UpdatesAtInference(ConvNorm):
    def call(self, x, training=None):
        return super().call(x, training=True)


@registered
class WrongOutputShape(ConvNorm):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters + 1)


@registered
class FixedSize(ConvNorm):
    def build(self, input_shape):
        super().build(input_shape)
        self.size = tuple(input_shape[1:3])

    def call(self, x, training=None):
        x = super().call(x, training=training)
        height, width = self.size
        return ops.reshape(x, (-1, height, width, self.filters))


@registered
class SquareOnly(ConvNorm):
    def call(self, x, training=None):
        x = super().call(x, training=training)
        return ops.transpose(x, (0, 2, 1, 3))


@registered
class AddsLoss(ConvNorm):
    def call(self, x, training=None):
        x = super().call(x, training=training)
        self.add_loss(ops.mean(x))
        return x


@registered
class LosesState(ConvNorm):
    """Random state that Keras does not know of and a file cannot hold."""

    def build(self, input_shape):
        super().build(input_shape)
        self.table = functools.partial(np.random.default_rng().uniform, size=1)()

    def call(self, x, training=None):
        return super().call(x, training=training) + ops.cast(self.table, self.compute_dtype)


@registered
class EagerOnly(ConvNorm):
    def call(self, x, training=None):
        x = super().call(x, training=training)
        if keras.utils.is_keras_tensor(x):
            return x
        return x * float(ops.convert_to_numpy(ops.max(x)))


@registered
class VanishingEpsilon(ConvNorm):
    def call(self, x, training=None):
        scale = ops.mean(ops.abs(x), axis=(1, 2, 3), keepdims=True)
        return super().call(x / (scale + 1e-8), training=training)


@registered
class NormOfZero(ConvNorm):
    def call(self, x, training=None):
        norm = ops.sqrt(ops.sum(x * x, axis=(1, 2, 3), keepdims=True))
        return super().call(x + norm, training=training)


@registered
class NoReference(ConvNorm):
    __doc__ = ConvNorm.__doc__.replace("Reference:", "Remark:")


@registered
class SectionsInDisorder(ConvNorm):
    __doc__ = ConvNorm.__doc__.replace("Input shape:", "Output shape:", 1)


@registered
class UndocumentedArgument(ConvNorm):
    __doc__ = ConvNorm.__doc__.replace("filters:", "channels:")


@registered
class BrokenExample(ConvNorm):
    __doc__ = ConvNorm.__doc__.replace("(1, 4, 4, 3)", "(1, 4, 4, 2)")


@registered
class RenamedAttribute(ConvNorm):
    def __getattribute__(self, name):
        if name == "mode":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def __dir__(self):
        return [name for name in super().__dir__() if name != "mode"]

    def get_config(self):
        return {"mode": "same"}


@registered
class NoiseAtInference(Noise):
    def call(self, x, training=False):
        return self.noisy(x)


@registered
class NoiseByDefault(Noise):
    def call(self, x, training=True):
        return self.noisy(x) if training else x


@registered
class NoNoise(Noise):
    def call(self, x, training=False):
        return x


@registered
class UnseededNoise(Noise):
    def noisy(self, x):
        return x * keras.random.uniform(ops.shape(x), 0.5, 1.5, x.dtype)


@registered
class OneSeedForAll(Noise):
    def __init__(self, rate=0.5, seed=None, **kwargs):
        super().__init__(rate, seed, **kwargs)
        self.generator = keras.random.SeedGenerator(1)


@registered
class FanOut(FanNormal):
    def variance(self, shape):
        return 1.0 / (np.prod(shape) / shape[-2])


@registered
class Unseeded(FanNormal):
    def __call__(self, shape, dtype=None):
        return keras.random.normal(shape, 0.0, self.variance(shape) ** 0.5, dtype=dtype)


@registered
class AlwaysFloat32(FanNormal):
    def __call__(self, shape, dtype=None):
        return super().__call__(shape, dtype="float32")


@registered
class ForgetsSeed(FanNormal):
    def get_config(self):
        return {}


_FAULTS = {
    "config_round_trip": [ForgetsArgument, KeepsDefault, RestoresWrongly, ConfigIsNotJson],
    "registered": [Unregistered],
    "mixed_precision": [IgnoresPolicy, VanishingEpsilon],
    "explicit_names": [AutomaticNames],
    "gradients": [DeadWeight, ConstantTerm],
    "build_creates_state": [BuildsInCall, LateVariable],
    "statistics_once": [UpdatesTwice],
    "training_mode": [NeverUpdates, NoNoise],
    "inference": [UpdatesAtInference, NoiseAtInference, NoiseByDefault],
    "shapes": [WrongOutputShape],
    "other_sizes": [FixedSize, SquareOnly],
    "losses": [AddsLoss],
    "save_and_load": [LosesState],
    "fit_step": [EagerOnly],
    "degenerate_inputs": [NormOfZero],
    "docstring": [NoReference, SectionsInDisorder, UndocumentedArgument],
    "example": [BrokenExample],
    "attributes": [RenamedAttribute],
    "seeds": [UnseededNoise, OneSeedForAll],
}
_INITIALIZER_FAULTS = {
    "moments": [FanOut],
    "seeds": [Unseeded],
    "values_shape_and_dtype": [AlwaysFloat32],
    "config_round_trip": [ForgetsSeed],
}

# (check, healthy entry, faulty entry)
LAYERS = [
    (check, layer_entry(Noise if issubclass(cls, Noise) else ConvNorm), layer_entry(cls))
    for check, classes in _FAULTS.items()
    for cls in classes
]
INITIALIZERS = [
    (check, initializer_entry(FanNormal), initializer_entry(cls))
    for check, classes in _INITIALIZER_FAULTS.items()
    for cls in classes
]
