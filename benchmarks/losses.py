"""A step of ResNet-20 with every distillation loss at once against one with soft targets alone.

Teacher and student are ResNet-20; all distillers take steps in turn on the same batch. "all" holds
every loss that needs neither an attack on the teacher nor a memory of all samples; these
two, BoundarySupport and ContrastiveRepresentation, are measured on their own beside soft targets,
and so is each of the others. The ratios are over soft targets alone: 1.5 is half as much again.

    python benchmarks/losses.py --out losses.json
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _report import clocks, emit, in_turn

from kzoo import applications, losses, trainers

SAMPLES = 10_000
APART = ("BoundarySupport", "ContrastiveRepresentation")


def made():
    """Each loss of the zoo, by name, with its published settings."""
    stages = ("stage1", "stage2", "stage3")
    return {
        "DecoupledKnowledge": lambda: [losses.DecoupledKnowledge()],
        "Hint": lambda: [losses.Hint("stage2", "stage2")],
        "AttentionTransfer": lambda: [losses.AttentionTransfer()],
        "NeuronSelectivity": lambda: [losses.NeuronSelectivity()],
        "SimilarityPreserving": lambda: [losses.SimilarityPreserving()],
        "VariationalInformation": lambda: [losses.VariationalInformation(s, s) for s in stages],
        "OverhaulFeature": lambda: [losses.OverhaulFeature()],
        "ActivationBoundary": lambda: [losses.ActivationBoundary()],
        "FlowOfSolution": lambda: [losses.FlowOfSolution()],
        "FactorTransfer": lambda: [losses.FactorTransfer()],
        "ProbabilisticTransfer": lambda: [losses.ProbabilisticTransfer()],
        "RelationalDistance": lambda: [losses.RelationalDistance()],
        "RelationalAngle": lambda: [losses.RelationalAngle()],
        "CorrelationCongruence": lambda: [losses.CorrelationCongruence()],
        "BoundarySupport": lambda: [losses.BoundarySupport(seed=0)],
        "ContrastiveRepresentation": lambda: [losses.ContrastiveRepresentation(SAMPLES, seed=0)],
    }


def distiller(given, depth, filters, images):
    """A compiled distiller of soft targets and the given losses, all with equal weights."""
    keras.utils.set_random_seed(0)
    student, teacher = (
        applications.ResNet(depth, filters=filters, input_shape=(28, 28, 1), name=name)
        for name in ("student", "teacher")
    )
    # With the statistics of this batch and equal weights the two agree on it: an attack, which
    # wants samples that both classify rightly, then has all of them.
    for layer in teacher.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    teacher(images, training=True)
    student.set_weights(teacher.get_weights())
    trainer = trainers.Distiller(student, teacher, [losses.SoftTargets(), *given])
    sgd = keras.optimizers.SGD(0.0)
    trainer.compile(sgd, "sparse_categorical_crossentropy", jit_compile=False)
    return trainer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each (default: 20)")
    parser.add_argument("--warmup", type=int, default=3, help="steps before that (default: 3)")
    parser.add_argument("--batch", type=int, default=64, help="batch size (default: 64)")
    parser.add_argument("--depth", type=int, default=20, help="of both ResNets (default: 20)")
    parser.add_argument("--filters", type=int, default=16, help="of the first stage (default: 16)")
    parser.add_argument("--each", action="store_true", help="also measure each loss on its own")
    parser.add_argument("--quick", action="store_true", help="a few steps of small networks")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    args = parser.parse_args()
    if args.quick:
        args.steps, args.warmup, args.batch, args.depth, args.filters = 2, 2, 8, 8, 4
    known = made()
    together = [loss for name, make in known.items() if name not in APART for loss in make()]
    generator = np.random.default_rng(0)
    images = generator.standard_normal((args.batch, 28, 28, 1)).astype("float32")
    settings = args.depth, args.filters, images
    contestants = {"soft_targets": distiller([], *settings)}
    contestants["all"] = distiller(together, *settings)
    for name in known if args.each else APART:
        contestants[name] = distiller(known[name](), *settings)
    teacher = contestants["soft_targets"].teacher
    labels = keras.ops.convert_to_numpy(teacher(images)).argmax(axis=-1)
    numbers = np.arange(args.batch, dtype="int32")
    x = {"inputs": images, "sample_index": numbers}

    def step(trainer):
        return lambda: trainer.train_on_batch(x, labels)

    calls = {name: step(trainer) for name, trainer in contestants.items()}
    times = in_turn(args.steps, args.warmup, calls)
    settings = {k: v for k, v in vars(args).items() if k not in ("out", "quick")}
    emit("losses", settings, clocks(times, "soft_targets"), args.out)


if __name__ == "__main__":
    main()
