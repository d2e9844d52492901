"""A training step fed by kzoo's pipeline against one fed as Keras feeds a PyDataset.

Same network, same batches. Keras hands a `PyDataset` to TensorFlow through
`tf.data.Dataset.from_generator`, and with the first generator TensorFlow has the allocator give
memory back to the system at once, for the rest of the process. So each feed is timed in a
process of its own, in turn. The ratios are sequence / pipeline: above 1, the pipeline is faster.

    python benchmarks/pipeline.py --out pipeline.json
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from _epochs import SHAPE, medians, noise, second_epoch, settings
from _report import emit

from kzoo import applications

FEEDS = ("sequence", "pipeline")


def epoch_seconds(feed, steps, batch, depth):
    """Wall and CPU seconds of an epoch of a DenseNet-BC."""
    dataset = noise(steps * batch)
    keras.utils.set_random_seed(0)
    model = applications.DenseNetBC(depth, 12, input_shape=SHAPE)
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    batches = getattr(dataset, feed)("train", batch, shuffle=True, augment="crop_flip")
    return second_epoch(model, batches)


def main():
    args, seconds = medians(epoch_seconds, FEEDS, __doc__, 60, 22, "the DenseNet-BC")
    found = {}
    for clock, median in seconds.items():
        found[f"{clock}_seconds_a_step"] = {f: round(t / args.steps, 4) for f, t in median.items()}
        found[f"{clock}_ratio"] = round(median["sequence"] / median["pipeline"], 3)
    emit("pipeline", settings(args), found, args.out)


if __name__ == "__main__":
    main()
