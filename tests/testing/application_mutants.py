"""A small healthy application, and copies with one planted fault each.

`tiny_net` asks its `plan` for everything that a fault can change.
"""

import sys
import types

import keras
import numpy as np
from keras import ops

from kzoo.applications import _common
from kzoo.registry import Entry

_PARAMETERS = 9 * 3 * 4 + 2 * 4 + 9 * 4 * 4 + 2 * 4 + 4 * 10 + 10


def preprocess_input(x):
    return _common.preprocess(x, 0.5, 0.5)


class Plan:
    """How the healthy net is made; each fault overrides one method."""

    min_size = 4

    def named(self, name):
        return {"name": name}

    def input(self, **options):
        return _common.image_input(
            **options, default_shape=(8, 8, 3), min_size=self.min_size, static=False
        )

    def stage(self, x, index):
        conv = keras.layers.Conv2D(
            4, 3, padding="same", use_bias=False, **self.named(f"stage{index}_conv")
        )
        norm = keras.layers.BatchNormalization(**self.named(f"stage{index}_norm"))
        return self.activate(norm(conv(x)), f"stage{index}")

    def activate(self, x, name):
        return keras.layers.Activation("sigmoid", **self.named(name))(x)

    def shrink(self, x):
        return keras.layers.AveragePooling2D(2, **self.named("pool"))(x)

    def top(self, x, **options):
        return _common.attach_top(x, **options)

    def finish(self, model, weights):
        _common.load_weights(model, weights, name="tiny_net")
        return model


def constructor(plan):
    """An application that follows `plan`."""

    def tiny_net(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=10,
        classifier_activation="softmax",
        name="tiny_net",
    ):
        x, inputs = plan.input(
            input_shape=input_shape, input_tensor=input_tensor, include_top=include_top
        )
        x = plan.shrink(plan.stage(x, 1))
        x = plan.stage(x, 2)
        x = plan.top(
            x,
            include_top=include_top,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
        )
        return plan.finish(keras.Model(inputs, x, name=name), weights)

    tiny_net.__module__ = __name__
    return tiny_net


def entry(plan, **changes):
    facts = {"parameters": [({}, _PARAMETERS)], "stages": 2, "min_size": 4, **changes}
    tiny = {"args": {}, "input_shape": (8, 8, 3)}
    name = type(plan).__name__
    return Entry("application", name, constructor(plan), tiny=tiny, facts=facts)


class WiderStage(Plan):
    def stage(self, x, index):
        x = super().stage(x, index)
        if index == 2:
            x = keras.layers.BatchNormalization(name="extra")(x)
            x = keras.layers.Activation("sigmoid", name="more")(x)
        return x


class AutomaticNames(Plan):
    def named(self, name):
        return {} if name.endswith("norm") else {"name": name}


class AutomaticInput(Plan):
    def input(self, input_tensor=None, input_shape=None, include_top=True):
        if input_tensor is not None or input_shape is None:
            return super().input(
                input_tensor=input_tensor, input_shape=input_shape, include_top=include_top
            )
        x = keras.Input(input_shape)
        return x, x


class FixedSize(Plan):
    def shrink(self, x):
        return keras.layers.Reshape((4, 4, 16), name="shrink")(x)


class FrozenStage(Plan):
    def stage(self, x, index):
        return super().stage(Stop(name="stop")(x) if index == 2 else x, index)


@keras.saving.register_keras_serializable(package="kzoo_tests")
class Stop(keras.layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x)


class UnnamedStages(Plan):
    def activate(self, x, name):
        return super().activate(x, f"{name}_end")

    def shrink(self, x):
        return keras.layers.Activation("linear", name="middle")(x)


class IgnoresPolicy(Plan):
    def activate(self, x, name):
        return keras.layers.Activation("sigmoid", name=name, dtype="float32")(x)


class AcceptsAnything(Plan):
    min_size = 1


class IgnoresInputTensor(Plan):
    def input(self, input_tensor=None, input_shape=None, include_top=True):
        shape = input_shape or tuple(input_tensor.shape[1:])
        return super().input(input_tensor=None, input_shape=shape, include_top=include_top)


class SoftmaxAsLogits(Plan):
    def top(self, x, include_top, classifier_activation, **options):
        if not include_top or classifier_activation is None:
            return super().top(
                x, include_top=include_top, classifier_activation=classifier_activation, **options
            )
        x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
        x = keras.layers.Dense(options["classes"], "softmax", name="logits")(x)
        return keras.layers.Activation("linear", name="predictions")(x)


class AlwaysATop(Plan):
    def top(self, x, include_top, **options):
        return super().top(x, include_top=True, **options)


class FixedClasses(Plan):
    def top(self, x, classes, **options):
        return super().top(x, classes=10, **options)


class IgnoresWeights(Plan):
    def finish(self, model, weights):
        return model


class DropoutAtInference(Plan):
    def shrink(self, x):
        return keras.layers.Dropout(0.5, name="dropout")(super().shrink(x), training=True)


class InPlace(Plan):
    pass


def _in_place(x):
    x = np.asarray(x)
    if x.dtype != np.float32:
        return (x / 255.0).astype("float32")
    x /= 255.0
    return x


def _in_place_entry():
    """The fault stands in the module of the constructor, so the copy gets one of its own."""
    module = types.ModuleType("tests.testing.in_place")
    module.preprocess_input = _in_place
    sys.modules[module.__name__] = module
    faulty = entry(InPlace())
    faulty.target.__module__ = module.__name__
    return faulty


_FAULTS = {
    "parameters": [WiderStage],
    "explicit_names": [AutomaticNames, AutomaticInput],
    "other_inputs": [FixedSize],
    "step_moves_every_weight": [FrozenStage],
    "stage_taps": [UnnamedStages],
    "mixed_precision": [IgnoresPolicy],
    "smallest_input": [AcceptsAnything],
    "input_tensor": [IgnoresInputTensor],
    "classifier": [SoftmaxAsLogits],
    "headless": [AlwaysATop],
    "logits": [FixedClasses],
    "save_and_load": [IgnoresWeights],
    "wrong_arguments": [IgnoresWeights],
    "inference": [DropoutAtInference],
}
HEALTHY = entry(Plan())

# (check, healthy entry, faulty entry)
APPLICATIONS = [
    (check, HEALTHY, entry(fault())) for check, faults in _FAULTS.items() for fault in faults
] + [("preprocessing", HEALTHY, _in_place_entry())]
