"""A training step with TensorFlow's oneDNN kernels against one with its default kernels.

TensorFlow uses oneDNN by itself only on processors with certain instructions (AVX-512 VNNI and
newer). On others the environment variable TF_ENABLE_ONEDNN_OPTS=1, set before TensorFlow is
imported, switches it on. The ratios are off / on: above 1, oneDNN is faster.

    python benchmarks/onednn.py --out onednn.json
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1" if "on" in sys.argv else "0"

import keras
from _epochs import SHAPE, medians, noise, second_epoch, settings
from _report import emit

from kzoo import applications

KINDS = ("off", "on")


def epoch_seconds(_, steps, batch, depth):
    """Wall and CPU seconds of an epoch of a ResNet."""
    dataset = noise(steps * batch)
    keras.utils.set_random_seed(0)
    model = applications.ResNet(depth, filters=16, input_shape=SHAPE)
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    return second_epoch(model, dataset.pipeline("train", batch, shuffle=True))


def main():
    args, seconds = medians(epoch_seconds, KINDS, __doc__, 60, 20, "the ResNet")
    found = {}
    for clock, median in seconds.items():
        found[f"{clock}_seconds_a_step"] = {k: round(t / args.steps, 4) for k, t in median.items()}
        found[f"{clock}_ratio"] = round(median["off"] / median["on"], 3)
    emit("onednn", settings(args), found, args.out)


if __name__ == "__main__":
    main()
