"""An epoch of several kinds of training, each kind in processes of its own, in turn."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

from kzoo import data

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


def second_epoch(model, batches):
    """Wall and CPU seconds of the second epoch, which traces and allocates nothing anew."""
    model.fit(batches, shuffle=False, verbose=0)
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(batches, shuffle=False, verbose=0)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def medians(measure, kinds, description, steps, depth, network):
    """The arguments of a script's command line, and clock -> kind -> median of the seconds.

    Args:
        measure: takes kind, steps, batch and depth, and returns what `second_epoch` does. Run
            in a process of its own, it is printed and nothing is returned.
        kinds: names of the kinds.
        description: the script's.
        steps: of the epoch, unless the command line says otherwise.
        depth: of the network, alike.
        network: which that is, in words.
    """
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--steps", type=int, default=steps, help=f"of an epoch (default: {steps})")
    parser.add_argument("--batch", type=int, default=64, help="batch size (default: 64)")
    parser.add_argument("--depth", type=int, default=depth, help=f"of {network} (default: {depth})")
    parser.add_argument("--repetitions", type=int, default=5, help="processes a kind (default: 5)")
    parser.add_argument("--quick", action="store_true", help="few small steps, one process each")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    parser.add_argument("--measure", choices=kinds, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.steps, args.batch, args.repetitions = 6, 8, 1
    if args.measure:
        print(json.dumps(measure(args.measure, args.steps, args.batch, args.depth)))
        sys.exit()
    runs = {kind: [] for kind in kinds}
    for _ in range(args.repetitions):
        for kind in kinds:
            runs[kind].append(_in_a_process(kind, args))
    found = {
        clock: {kind: statistics.median(run[clock] for run in done) for kind, done in runs.items()}
        for clock in ("wall", "cpu")
    }
    return args, found


def settings(args):
    """What of the command line describes the measurement."""
    return {name: getattr(args, name) for name in ("steps", "batch", "depth", "repetitions")}


def _in_a_process(kind, args):
    command = [sys.executable, "-W", "ignore", sys.argv[0], "--measure", kind]
    for name in ("steps", "batch", "depth"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])
