"""Relational losses from the Gram matrix against the same by broadcasting, time and memory.

Value and gradient by the student, each form in a process of its own: wall time is the fastest of a
few calls, memory the peak resident size above that of a process with a batch of two. The ratios
are broadcast / kzoo: above 1, kzoo is faster or smaller.

    python benchmarks/relational.py --out relational.json
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from _report import emit, peak_resident_mb
from keras import ops

from kzoo import losses


def broadcast_distance(teacher, student):
    """The formula as it stands: all differences of two samples."""
    huber = [_relative(_differences(feature)) for feature in (teacher, student)]
    return _huber(ops.stop_gradient(huber[0]), huber[1])


def broadcast_angle(teacher, student):
    """The formula as it stands: unit differences, and the cosine of every triple."""
    cosines = []
    for feature in (teacher, student):
        differences = _differences(feature)
        squares = ops.sum(ops.square(differences), axis=-1, keepdims=True)
        units = differences * ops.rsqrt(ops.maximum(squares, 1e-12))
        cosines.append(ops.matmul(units, ops.transpose(units, (0, 2, 1))))
    return _huber(ops.stop_gradient(cosines[0]), cosines[1])


def _differences(feature):
    return feature[None] - feature[:, None]


def _relative(differences):
    squares = ops.sum(ops.square(differences), axis=-1)
    distances = ops.sqrt(ops.maximum(squares, 1e-12))
    apart = ops.cast(squares > 0, "float32")
    return apart * distances / (ops.sum(apart * distances) / ops.sum(apart))


def _huber(first, second):
    error = ops.abs(first - second)
    return ops.mean(ops.where(error < 1.0, 0.5 * ops.square(error), error - 0.5))


FORMS = {
    "distance": {"kzoo": losses.relational_distance, "broadcast": broadcast_distance},
    "angle": {"kzoo": losses.relational_angle, "broadcast": broadcast_angle},
}


def measure(relation, form, batch, features, repetitions):
    """Milliseconds of the fastest call, and the peak memory, in this process."""
    function = FORMS[relation][form]
    generator = np.random.default_rng(0)
    teacher, student = (
        tf.constant(generator.standard_normal((batch, features)), "float32") for _ in range(2)
    )

    @tf.function
    def step(student):
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = function(teacher, student)
        return value, tape.gradient(value, student)

    seconds = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        value = step(student)[0]
        seconds.append(time.perf_counter() - start)
    return {
        "milliseconds": 1e3 * min(seconds[1:]),
        "peak_mb": peak_resident_mb(),
        "value": float(value),
    }


def in_a_process(relation, form, batch, args):
    command = [sys.executable, __file__, "--measure", relation, form, str(batch)]
    command += ["--features", str(args.features), "--repetitions", str(args.repetitions)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=256, help="samples (default: 256)")
    parser.add_argument("--features", type=int, default=2048, help="of a sample (default: 2048)")
    parser.add_argument("--repetitions", type=int, default=5, help="timed calls (default: 5)")
    parser.add_argument("--quick", action="store_true", help="a small batch, few repetitions")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        relation, form, batch = args.measure
        print(json.dumps(measure(relation, form, int(batch), args.features, args.repetitions)))
        return
    if args.quick:
        args.batch, args.features, args.repetitions = 48, 512, 2
    found = {}
    for relation, forms in FORMS.items():
        rows = {}
        for form in forms:
            large = in_a_process(relation, form, args.batch, args)
            small = in_a_process(relation, form, 2, args)
            large["extra_mb"] = round(max(large["peak_mb"] - small["peak_mb"], 1.0), 1)
            rows[form] = large
        ours, theirs = rows["kzoo"], rows["broadcast"]
        np.testing.assert_allclose(ours["value"], theirs["value"], rtol=1e-3)
        found[relation] = {
            **{form: {k: round(v, 4) for k, v in row.items()} for form, row in rows.items()},
            "time_ratio": round(theirs["milliseconds"] / ours["milliseconds"], 3),
            "memory_ratio": round(theirs["extra_mb"] / ours["extra_mb"], 3),
        }
    settings = {k: getattr(args, k) for k in ("batch", "features", "repetitions")}
    emit("relational", settings, found, args.out)


if __name__ == "__main__":
    main()
