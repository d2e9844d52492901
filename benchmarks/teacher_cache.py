"""A student's epoch on the labels alone, with a live teacher, and with a recorded one.

The same student and the same batches; the teacher is a larger ResNet, distilled with soft targets.
Each kind of training has processes of its own, in turn; times are those of the second epoch. The
ratios are over training on the labels alone: 1.1 is a tenth slower.

    python benchmarks/teacher_cache.py --out teacher_cache.json
"""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from _epochs import SHAPE, medians, noise, second_epoch, settings
from _report import emit

from kzoo import applications, losses, trainers

KINDS = ("plain", "live", "cached")


def epoch_seconds(kind, steps, batch, depth):
    """Wall and CPU seconds of an epoch of a ResNet-8."""
    dataset = noise(steps * batch)
    keras.utils.set_random_seed(0)
    trained = applications.ResNet(8, filters=16, input_shape=SHAPE, name="student")
    options = {"shuffle": True}
    if kind != "plain":
        teacher = applications.ResNet(depth, filters=16, input_shape=SHAPE, name="teacher")
        if kind == "cached":
            folder = tempfile.mkdtemp()
            teacher = trainers.cache_teacher(teacher, dataset, ["logits"], folder, verbose=0)
            options["attach"] = teacher
        trained = trainers.Distiller(trained, teacher, losses.SoftTargets())
    trained.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", jit_compile=False)
    return second_epoch(trained, dataset.pipeline("train", batch, **options))


def main():
    args, seconds = medians(epoch_seconds, KINDS, __doc__, 100, 20, "the teacher")
    found = {}
    for clock, median in seconds.items():
        found[f"{clock}_milliseconds_a_step"] = {
            kind: round(1e3 * total / args.steps, 2) for kind, total in median.items()
        }
        for kind in ("live", "cached"):
            found[f"{clock}_{kind}_ratio"] = round(median[kind] / median["plain"], 3)
    emit("teacher_cache", settings(args), found, args.out)


if __name__ == "__main__":
    main()
