"""A training step fed by kzoo's pipeline against one fed as Keras feeds a PyDataset.

Same network, same batches. Keras hands a `PyDataset` to TensorFlow through
`tf.data.Dataset.from_generator`, and with the first generator TensorFlow has the allocator give
memory back to the system at once, for the rest of the process. So each feed is timed in a
process of its own, in turn. The ratios are sequence / pipeline: above 1, the pipeline is faster.

    python benchmarks/pipeline.py --out pipeline.json
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _report import emit

from kzoo import applications, data

FEEDS = ("sequence", "pipeline")
SHAPE = (28, 28, 1)


def noise(images):
    """Random images with labels, as a data set."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images + 10, *SHAPE), dtype="uint8")
    labels = np.arange(images + 10) % 10
    parts = {"train": slice(None, images), "test": slice(images, None)}
    raw = data.RawData(
        **{f"{split}_images": pixels[part] for split, part in parts.items()},
        **{f"{split}_labels": labels[part] for split, part in parts.items()},
        class_names=tuple("0123456789"),
        source="random numbers",
    )
    return data.Dataset("noise", raw, validation_fraction=0.0)


def epoch_seconds(feed, steps, batch, depth):
    """Wall and CPU seconds of the second epoch, which traces and allocates nothing anew."""
    dataset = noise(steps * batch)
    keras.utils.set_random_seed(0)
    model = applications.DenseNetBC(depth, 12, input_shape=SHAPE)
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    batches = getattr(dataset, feed)("train", batch, shuffle=True, augment="crop_flip")
    model.fit(batches, shuffle=False, verbose=0)
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(batches, shuffle=False, verbose=0)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def in_a_process(feed, args):
    command = [sys.executable, __file__, "--measure", feed]
    for name in ("steps", "batch", "depth"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few small steps, one process each")
    parser.add_argument("--steps", type=int, default=60, help="steps of the epoch (default: 60)")
    parser.add_argument("--batch", type=int, default=64, help="batch size (default: 64)")
    parser.add_argument("--depth", type=int, default=22, help="of the DenseNet-BC (default: 22)")
    parser.add_argument("--repetitions", type=int, default=5, help="processes a feed (default: 5)")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    parser.add_argument("--measure", choices=FEEDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.steps, args.batch, args.depth, args.repetitions = 5, 8, 10, 1
    if args.measure:
        print(json.dumps(epoch_seconds(args.measure, args.steps, args.batch, args.depth)))
        return
    runs = {feed: [] for feed in FEEDS}
    for _ in range(args.repetitions):
        for feed in FEEDS:
            runs[feed].append(in_a_process(feed, args))
    found = {}
    for clock in ("wall", "cpu"):
        median = {f: statistics.median(run[clock] for run in done) for f, done in runs.items()}
        found[f"{clock}_seconds_a_step"] = {f: round(t / args.steps, 4) for f, t in median.items()}
        found[f"{clock}_ratio"] = round(median["sequence"] / median["pipeline"], 3)
    settings = {k: getattr(args, k) for k in ("steps", "batch", "depth", "repetitions")}
    emit("pipeline", settings, found, args.out)


if __name__ == "__main__":
    main()
