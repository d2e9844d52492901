"""The tiny models and trainers that the tests of trainers and callbacks share."""

import keras
import numpy as np
from keras import ops

from kzoo.losses import Hint, SoftTargets
from kzoo.trainers import Distiller, PlayerOptimizers, Trainer, Update

CLASSES = 3


def images(count=8, seed=0):
    values = np.random.default_rng(seed).standard_normal((count, 8, 8, 1)).astype("float32")
    return values, np.arange(count) % CLASSES


def classifier(name, filters=2, dropout=0.0, statistics=True, regularizer=None, classes=CLASSES):
    inputs = x = keras.Input((8, 8, 1), name="image")
    for stage in (1, 2):
        x = keras.layers.Conv2D(
            filters * stage, 3, padding="same", kernel_regularizer=regularizer, name=f"conv{stage}"
        )(x)
        if statistics:
            x = keras.layers.BatchNormalization(name=f"norm{stage}")(x)
        x = keras.layers.Activation("relu", name=f"stage{stage}")(x)
        x = keras.layers.AveragePooling2D(2, name=f"pool{stage}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(
        inputs, keras.layers.Softmax(dtype="float32", name="predictions")(x), name=name
    )


def distiller(losses=None, seed=0, compiled=True, student=None, teacher=None, **options):
    """A distiller that is the same each time; `options` go to `compile`.

    Under TensorFlow it runs eagerly unless told otherwise: tracing costs more than a few steps.
    """
    keras.utils.set_random_seed(seed)
    student = student or classifier("student", dropout=0.2)
    teacher = teacher or classifier("teacher", filters=4, dropout=0.2)
    losses = [SoftTargets(), Hint("stage2", "stage2")] if losses is None else losses
    weight = options.pop("task_weight", 1.0)
    trainer = Distiller(student, teacher, losses, task_weight=weight)
    if compiled:
        eager = keras.backend.backend() == "tensorflow"
        usual = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}
        options = {**usual, "run_eagerly": eager, **options}
        trainer.compile(**options)
    return trainer


def values(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def equal(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


@keras.saving.register_keras_serializable("kzoo_tests")
class Rivals(Trainer):
    """Two models: the first fits the labels and the second, the second follows the first."""

    def __init__(self, first, second, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = first, second
        self.built = first.built and second.built

    def call(self, x, training=None):
        return self.first(x, training=training)

    def updates(self):
        return [
            Update("first", self.first_terms, self.first.trainable_variables),
            Update("second", self.second_terms, self.second.trainable_variables),
        ]

    def first_terms(self, x, y, sample_weight, training):
        y_pred = self.first(x, training=training)
        other = ops.stop_gradient(self.second(x, training=training))
        task = self.task_loss(y, y_pred, sample_weight)
        return y_pred, {"task_loss": task, "match": ops.square(y_pred - other)}

    def second_terms(self, x, y, sample_weight, training):
        other = ops.stop_gradient(self.first(x, training=training))
        return None, {"match": ops.square(self.second(x, training=training) - other)}

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {"first": serialize(self.first), "second": serialize(self.second)}

    @classmethod
    def from_config(cls, config):
        return cls(**{k: keras.saving.deserialize_keras_object(v) for k, v in config.items()})


def line(start, name):
    """y = w x."""
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(
                1, use_bias=False, kernel_initializer=keras.initializers.Constant(start), name=name
            ),
        ]
    )


def rivals(optimizers=None, **options):
    optimizers = optimizers or {
        "first": keras.optimizers.SGD(0.1),
        "second": keras.optimizers.SGD(0.05),
    }
    trainer = Rivals(line(0.5, "first"), line(-1.0, "second"))
    trainer.compile(PlayerOptimizers(optimizers), "mse", **options)
    return trainer
