"""A DenseNet training step: kzoo's block against the same network of plain Keras layers.

CPU time is the process time of one step, forms interleaved in one process, so that a busy
machine slows all of them alike; still, measure on a quiet one. Peak memory is the peak resident
size of a subprocess that trains one form; `activations_mb` is what is above the same with a
batch of one image, which leaves out the libraries and the graph.

    python benchmarks/dense_block.py --out dense_block.json
"""

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _report import emit, peak_resident_mb

from kzoo.applications import DenseNet, DenseNetBC

FORMS = {
    "keras": None,
    "per_layer": {"normalization": "per_layer"},
    "shared": {"normalization": "shared"},
    "per_layer+memory_efficient": {"normalization": "per_layer", "memory_efficient": True},
    "shared+memory_efficient": {"normalization": "shared", "memory_efficient": True},
}
DEFAULT = ["keras", "shared", "shared+memory_efficient"]
NETWORKS = {
    "DenseNet-40-12": {"depth": 40, "growth_rate": 12, "bottleneck": False},
    "DenseNet-BC-100-12": {"depth": 100, "growth_rate": 12, "bottleneck": True},
}
QUICK = {
    "DenseNet-10-12": {"depth": 10, "growth_rate": 12, "bottleneck": False},
    "DenseNet-BC-16-12": {"depth": 16, "growth_rate": 12, "bottleneck": True},
}
SHAPE = (28, 28, 1)


def plain_keras(depth, growth_rate, bottleneck):
    """The network as one writes it with built-in layers."""
    layers = (depth - 4) // (6 if bottleneck else 3)
    inputs = keras.Input(SHAPE)
    x = _conv(inputs, 2 * growth_rate if bottleneck else 16, 3)
    for stage in range(3):
        for _ in range(layers):
            y = _norm_relu(x)
            if bottleneck:
                y = _norm_relu(_conv(y, 4 * growth_rate, 1))
            x = keras.layers.Concatenate()([x, _conv(y, growth_rate, 3)])
        if stage < 2:
            x = _conv(_norm_relu(x), x.shape[-1] // 2 if bottleneck else x.shape[-1], 1)
            x = keras.layers.AveragePooling2D(2)(x)
    x = keras.layers.GlobalAveragePooling2D()(_norm_relu(x))
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))


def _conv(x, filters, size):
    start = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    return keras.layers.Conv2D(
        filters, size, padding="same", use_bias=False, kernel_initializer=start
    )(x)


def _norm_relu(x):
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def build(network, form):
    """A compiled model."""
    keras.utils.set_random_seed(0)
    if FORMS[form] is None:
        model = plain_keras(**network)
    else:
        constructor = DenseNetBC if network["bottleneck"] else DenseNet
        model = constructor(
            network["depth"], network["growth_rate"], input_shape=SHAPE, **FORMS[form]
        )
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    return model


def data(batch):
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, *SHAPE)).astype("float32"), rng.integers(0, 10, batch)


def cpu_times(network, forms, batch, repetitions):
    """Process time in seconds of each repetition, by form."""
    x, y = data(batch)
    models = {}
    for form in forms:
        models[form] = build(network, form)
        for _ in range(2):  # the first step traces, the second one still allocates
            models[form].train_on_batch(x, y)
        print(f"  {form} is built", file=sys.stderr, flush=True)
    times = {form: [] for form in forms}
    for _ in range(repetitions):
        for form in forms:
            start = time.process_time()
            models[form].train_on_batch(x, y)
            times[form].append(time.process_time() - start)
    return times


def peak_memory(name, form, batch):
    """Peak resident size in MB of a process that trains `form`."""
    command = [sys.executable, __file__, "--measure-memory", name, form, str(batch)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.strip().splitlines()[-1])


def measure_memory(name, form, batch):
    """What the subprocess of `peak_memory` does."""
    x, y = data(batch)
    model = build({**NETWORKS, **QUICK}[name], form)
    for _ in range(3):
        model.train_on_batch(x, y)
    print(peak_resident_mb())


def measure(name, network, forms, batch, repetitions):
    """The results of one network, by form."""
    times = cpu_times(network, forms, batch, repetitions)
    results = {}
    for form in forms:
        peak = peak_memory(name, form, batch)
        results[form] = {
            "cpu_seconds_min": min(times[form]),
            "cpu_seconds_median": float(np.median(times[form])),
            "peak_mb": round(peak, 1),
            "activations_mb": round(peak - peak_memory(name, form, 1), 1),
        }
    reference = results[forms[0]]
    for result in results.values():
        for key in ("cpu_seconds_min", "cpu_seconds_median", "peak_mb", "activations_mb"):
            result[f"{forms[0]}_over_this_{key}"] = round(reference[key] / result[key], 3)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="shallow networks, few repetitions")
    parser.add_argument("--batch", type=int, default=64, help="batch size (default: 64)")
    parser.add_argument("--repetitions", type=int, default=12, help="steps a form (default: 12)")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="only this one")
    parser.add_argument(
        "--forms", nargs="+", choices=FORMS, default=DEFAULT, help="the first is the reference"
    )
    parser.add_argument("--out", help="write the results to this JSON file")
    parser.add_argument("--measure-memory", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure_memory:
        name, form, batch = args.measure_memory
        measure_memory(name, form, int(batch))
        return
    networks = QUICK if args.quick else {n: NETWORKS[n] for n in args.network or NETWORKS}
    repetitions = 3 if args.quick else args.repetitions
    load, found = os.getloadavg(), {}
    for name, network in networks.items():
        print(name, file=sys.stderr, flush=True)
        found[name] = measure(name, network, args.forms, args.batch, repetitions)
    settings = {"batch": args.batch, "shape": SHAPE, "repetitions": repetitions}
    loads = {"load_before": load, "load_after": os.getloadavg()}
    emit("dense_block", settings, {"networks": found, **loads}, args.out)


if __name__ == "__main__":
    main()
