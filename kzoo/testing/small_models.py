"""The small classifiers that the battery of trainers trains, and what is watched on them."""

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np

from kzoo import taps
from kzoo.registry import Entry
from kzoo.testing.battery import expect
from kzoo.testing.subjects import random_array, sub_layers

CLASSES = 3
# Names of models that only run begin so; a generalist is a part of what comes out as well.
FROZEN = ("teacher", "generalist")
MOMENTUM = 0.9


@keras.saving.register_keras_serializable(package="kzoo_testing")
class ModeProbe(keras.layers.Layer):
    """Passes its input on and notes each `training` that it is called with."""

    modes: ClassVar[list[bool]] = []

    def call(self, x, training=None):
        """Note the mode."""
        self.modes.append(bool(training))
        return x

    def compute_output_shape(self, input_shape):
        """The input's."""
        return input_shape


@dataclasses.dataclass
class Subject:
    """A compiled trainer and the models it was made of.

    Attributes:
        trainer: the trainer.
        frozen: the models whose name begins with `teacher` or `generalist`.
        trained: the other models, and those that the trainer made itself.
        flags: `trainable` of every layer of the frozen models, before the trainer.
        data: whether `fit` takes data.
    """

    trainer: keras.Model
    frozen: list[keras.Model]
    trained: list[keras.Model]
    flags: list[bool]
    data: bool = True

    @property
    def result(self) -> keras.Model:
        """What the trainer was there for: its student, or the best of its models."""
        return self.trainer.student if "student" in dir(self.trainer) else self.trainer.best()

    def fit(self, epochs: int = 1, **options: Any) -> dict[str, list[float]]:
        """Train on the eight images, one batch an epoch; the history of the logs."""
        x, y = batch()
        given = {"x": x, "y": y, "batch_size": len(x), "shuffle": False}
        given = given if self.data else {"steps_per_epoch": 1}
        return self.trainer.fit(**{**given, "verbose": 0, "epochs": epochs, **options}).history


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Eight images of 8 x 8 and their labels; both halves have the same labels in order."""
    return random_array((8, 8, 8, 1)), np.tile([0, 1, 2, 0], 2)


def trainable_flags(models: list[keras.Model]) -> list[bool]:
    """`trainable` of the models and all their layers."""
    return [part.trainable for model in models for part in (model, *sub_layers(model))]


def small_classifier(name: str, regularizer: float = 0.0) -> keras.Model:
    """Two convolutions with batch normalisation, pooling, `logits` and softmax.

    A teacher is wider, and holds dropout and a `ModeProbe`.
    """
    teacher = name.startswith("teacher")
    filters = 6 if teacher else 4
    penalty = keras.regularizers.L2(regularizer) if regularizer else None
    inputs = x = keras.Input((8, 8, 1), name="image")
    for index in (1, 2):
        x = keras.layers.Conv2D(
            index * filters,
            3,
            padding="same",
            use_bias=False,
            kernel_regularizer=penalty,
            name=f"conv{index}",
        )(x)
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"norm{index}")(x)
        x = keras.layers.Activation("relu", name=f"stage{index}")(x)
        if index == 1:
            x = keras.layers.AveragePooling2D(2, name="pool")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    if teacher:
        x = ModeProbe(name="probe")(keras.layers.Dropout(0.5, name="dropout")(x))
    x = keras.layers.Dense(CLASSES, dtype="float32", name="logits")(x)
    x = keras.layers.Activation("softmax", dtype="float32", name="predictions")(x)
    return keras.Model(inputs, x, name=name)


def subject(
    entry: Entry,
    *,
    eager: bool = True,
    regularizer: float = 0.0,
    shake_teacher: float = 0.0,
) -> Subject:
    """A trainer of the entry on small models, compiled; the same each time.

    Args:
        entry: a trainer.
        eager: whether steps run eagerly.
        regularizer: L2 factor of the convolutions.
        shake_teacher: size of what is added to the weights of the teachers.
    """
    expect("build" in entry.tiny, "A trainer is registered with tiny={'build': function of small}.")
    keras.utils.set_random_seed(0)
    made: dict[str, keras.Model] = {}
    flags: list[bool] = []

    def small(name: str, before: str | None = None, after: str | None = None) -> keras.Model:
        model = small_classifier(name, regularizer)
        if before or after:
            piece = taps.cut(model, before or after)[0 if before else 1]
            # A clone, for the layers of the piece keep the rest of the model alive.
            model = keras.models.clone_model(piece)
        made[name] = model
        if name.startswith(FROZEN):
            flags.extend(trainable_flags([model]))
            for weight in model.trainable_weights:
                weight.assign(weight + shake_teacher * random_array(tuple(weight.shape), 3))
        return model

    trainer = entry.tiny["build"](small)
    trainer.compile(
        optimizer=_optimizer(entry),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        run_eagerly=eager,
        jit_compile=False if eager else "auto",
    )
    frozen = [model for name, model in made.items() if name.startswith(FROZEN)]
    trained = [model for name, model in made.items() if not name.startswith(FROZEN)]
    trained += entry.tiny.get("made", lambda trainer: [])(trainer)
    ModeProbe.modes.clear()
    return Subject(trainer, frozen, trained, flags, entry.facts.get("data", True))


def _optimizer(entry: Entry) -> keras.optimizers.Optimizer:
    from kzoo.trainers import PlayerOptimizers

    players = entry.facts.get("players", ("model",))
    made = {name: keras.optimizers.SGD(0.05, momentum=0.9) for name in players}
    return PlayerOptimizers(made) if len(players) > 1 else made[players[0]]
