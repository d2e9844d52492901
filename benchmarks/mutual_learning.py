"""A step of mutual learning against one plain step of each of its networks.

ResNets of one depth on random images; the contestants take steps in turn on the same batch. The
ratios are mutual learning / plain steps: 1 is the least that is possible, since a network
cannot learn without a pass of its own.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _report import clocks, emit, in_turn

import kzoo

SHAPE = (28, 28, 1)


def networks(count, depth):
    """Networks with the same weights at each call."""
    keras.utils.set_random_seed(0)
    return [
        kzoo.applications.ResNet(depth, filters=16, input_shape=SHAPE, name=f"network{number}")
        for number in range(count)
    ]


def compiled(model):
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def contestants(count, arguments):
    """name -> one step of all networks."""
    images = np.random.default_rng(0).random((arguments.batch, *SHAPE)).astype("float32")
    labels = np.arange(arguments.batch) % 10
    plain = [compiled(model) for model in networks(count, arguments.depth)]
    mutual = {
        mode: compiled(kzoo.trainers.MutualLearning(networks(count, arguments.depth), mode))
        for mode in ("simultaneous", "sequential")
    }

    def one_each():
        for model in plain:
            model.train_on_batch(images, labels)

    def step(trainer):
        return lambda: trainer.train_on_batch(images, labels)

    return {"plain": one_each, **{mode: step(trainer) for mode, trainer in mutual.items()}}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=5, help="steps before that")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--depth", type=int, default=20, help="of the ResNets")
    parser.add_argument("--networks", type=int, nargs="+", default=[2, 3], help="how many")
    parser.add_argument("--quick", action="store_true", help="a few steps on small batches")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.warmup, arguments.batch, arguments.depth = 3, 2, 8, 8
        arguments.networks = [2]
    return arguments


def main():
    arguments = parse()
    settings = {k: v for k, v in vars(arguments).items() if k not in ("out", "quick")}
    found = {}
    for count in arguments.networks:
        calls = contestants(count, arguments)
        found[str(count)] = clocks(in_turn(arguments.steps, arguments.warmup, calls), "plain")
    emit("mutual_learning", settings, {"networks": found}, arguments.out)


if __name__ == "__main__":
    main()
