"""A student's epoch on the labels alone, with a live teacher, and with a recorded one.

The same student and the same batches; the teacher is a larger ResNet, distilled with soft targets.
Each kind of training has a process of its own, in turn; times are those of the second epoch. The
ratios are over training on the labels alone: 1.1 is a tenth slower.

    python benchmarks/teacher_cache.py --out teacher_cache.json
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _report import emit

from kzoo import applications, data, losses, trainers

KINDS = ("plain", "live", "cached")
SHAPE = (28, 28, 1)


def noise(images):
    """Random images with labels, as a data set."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images + 10, *SHAPE), dtype="uint8")
    labels = np.arange(images + 10) % 10
    raw = data.RawData(
        train_images=pixels[:images],
        train_labels=labels[:images],
        test_images=pixels[images:],
        test_labels=labels[images:],
        class_names=tuple("0123456789"),
        source="random numbers",
    )
    return data.Dataset("noise", raw, validation_fraction=0.0)


def epoch_seconds(kind, steps, batch, depth):
    """Wall and CPU seconds of the second epoch."""
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
    batches = dataset.pipeline("train", batch, **options)
    trained.fit(batches, shuffle=False, verbose=0)
    wall, cpu = time.perf_counter(), time.process_time()
    trained.fit(batches, shuffle=False, verbose=0)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def in_a_process(kind, args):
    command = [sys.executable, "-W", "ignore", __file__, "--measure", kind]
    for name in ("steps", "batch", "depth"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100, help="of an epoch (default: 100)")
    parser.add_argument("--batch", type=int, default=64, help="batch size (default: 64)")
    parser.add_argument("--depth", type=int, default=20, help="of the teacher (default: 20)")
    parser.add_argument("--repetitions", type=int, default=5, help="processes a kind (default: 5)")
    parser.add_argument("--quick", action="store_true", help="few small steps, one process each")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.steps, args.batch, args.depth, args.repetitions = 6, 8, 8, 1
    if args.measure:
        print(json.dumps(epoch_seconds(args.measure, args.steps, args.batch, args.depth)))
        return
    runs = {kind: [] for kind in KINDS}
    for _ in range(args.repetitions):
        for kind in KINDS:
            runs[kind].append(in_a_process(kind, args))
    found = {}
    for clock in ("wall", "cpu"):
        median = {k: statistics.median(run[clock] for run in done) for k, done in runs.items()}
        found[f"{clock}_milliseconds_a_step"] = {
            kind: round(1e3 * seconds / args.steps, 2) for kind, seconds in median.items()
        }
        for kind in ("live", "cached"):
            found[f"{clock}_{kind}_ratio"] = round(median[kind] / median["plain"], 3)
    settings = {k: getattr(args, k) for k in ("steps", "batch", "depth", "repetitions")}
    emit("teacher_cache", settings, found, args.out)


if __name__ == "__main__":
    main()
