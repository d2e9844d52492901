"""Training step of kzoo's Distiller against keras.distillation.Distiller, on the same models.

One feature loss (mean squared error of the same pair of maps) and the cross-entropy, with
equal weights, on two small ResNets. The two take steps in turn on the same batch; CPU
time is that of the whole process. The ratios are keras / kzoo: above 1, kzoo is faster.
"""

import argparse
import os
import pathlib
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _report import emit, in_turn

import kzoo

FEATURE = "stage2"


def resnet(blocks, filters, image_shape, name):
    """A ResNet of plain Keras layers: three stages, the ends of which are named."""
    inputs = keras.Input(image_shape, name="image")
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(inputs)
    for stage in range(3):
        for block in range(blocks):
            last = block == blocks - 1
            stride = 2 if stage and not block else 1
            x = residual(x, filters * 2**stage, stride, f"stage{stage + 1}" if last else None)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x), name=name)


def residual(x, filters, stride, name):
    shortcut = x
    for index, step in enumerate((stride, 1)):
        x = keras.layers.Conv2D(filters, 3, strides=step, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x) if index == 0 else x
    if shortcut.shape != x.shape:
        shortcut = keras.layers.Conv2D(filters, 1, strides=stride, use_bias=False)(shortcut)
    return keras.layers.ReLU(name=name)(keras.layers.Add()([x, shortcut]))


def contestants(arguments):
    """The two distillers, each with models of its own that start from the same weights."""
    trainers = {}
    for name in ("keras", "kzoo"):
        keras.utils.set_random_seed(0)
        shape = (arguments.size, arguments.size, 1)
        student = resnet(arguments.student_blocks, arguments.filters, shape, "student")
        teacher = resnet(arguments.teacher_blocks, arguments.filters, shape, "teacher")
        trainers[name] = make(name, student, teacher)
        trainers[name].compile(
            optimizer=keras.optimizers.SGD(0.01, momentum=0.9),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    return trainers


def make(name, student, teacher):
    if name == "kzoo":
        settings = {"projector": None, "variant": "reference", "weight": 0.5}
        loss = kzoo.losses.Hint(FEATURE, FEATURE, **settings)
        return kzoo.trainers.Distiller(student, teacher, loss, task_weight=0.5)
    loss = keras.distillation.FeatureDistillation(
        loss="mse", teacher_layer_name=FEATURE, student_layer_name=FEATURE
    )
    return keras.distillation.Distiller(
        teacher=teacher, student=student, distillation_losses=loss, student_loss_weight=0.5
    )


def measure(trainers, arguments):
    """Seconds of each step: name -> {"wall": [...], "cpu": [...]}."""
    images = np.random.default_rng(0).random((arguments.batch, arguments.size, arguments.size, 1))
    images, labels = images.astype("float32"), np.arange(arguments.batch) % 10

    def step(trainer):
        return lambda: trainer.train_on_batch(images, labels)

    calls = {name: step(trainer) for name, trainer in trainers.items()}
    return in_turn(arguments.steps, arguments.warmup, calls)


def summary(times):
    result = {}
    for clock in ("cpu", "wall"):
        for label, reduce in (("median", statistics.median), ("minimum", min)):
            seconds = {name: reduce(found[clock]) for name, found in times.items()}
            result[f"{clock}_{label}_milliseconds"] = {
                name: round(1e3 * value, 2) for name, value in seconds.items()
            }
            result[f"{clock}_{label}_ratio"] = round(seconds["keras"] / seconds["kzoo"], 3)
    return result


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=5, help="steps before that")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=28, help="height and width of the images")
    parser.add_argument("--filters", type=int, default=16, help="of the first stage")
    parser.add_argument("--student-blocks", type=int, default=2, help="of each stage")
    parser.add_argument("--teacher-blocks", type=int, default=3, help="of each stage")
    parser.add_argument("--quick", action="store_true", help="a few steps on small batches")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.warmup, arguments.batch, arguments.filters = 3, 2, 8, 4
    return arguments


def main():
    arguments = parse()
    settings = {k: v for k, v in vars(arguments).items() if k not in ("out", "quick")}
    emit("distiller", settings, summary(measure(contestants(arguments), arguments)), arguments.out)


if __name__ == "__main__":
    main()
