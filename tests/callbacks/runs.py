"""A tiny training whose data depend on the seed and the epoch, in a process that may die.

`python -m tests.callbacks.runs FOLDER RESULT [EPOCH BATCH]` trains for four epochs with
checkpoints in FOLDER, goes on where they end, and writes the weights to RESULT; at that
epoch and batch it kills itself.
"""

import os
import signal
import sys

import keras
import numpy as np

from kzoo.callbacks import ResumableCheckpoint
from kzoo.losses import Hint, SoftTargets
from tests.trainers.models import CLASSES, distiller, values

EPOCHS, BATCHES, SIZE = 4, 3, 4


class Batches(keras.utils.PyDataset):
    """Batches of noise, a function of the epoch."""

    def __init__(self, first_epoch):
        super().__init__()
        self.epoch = first_epoch

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        generator = np.random.default_rng([self.epoch, index])
        x = generator.standard_normal((SIZE, 8, 8, 1)).astype("float32")
        return x, generator.integers(0, CLASSES, SIZE)

    def on_epoch_end(self):
        self.epoch += 1


class Kill(keras.callbacks.Callback):
    """Ends the process as `kill -9` does."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def build():
    """Dropout, batch normalisation, a projector, Adam: state of every kind."""
    losses = [SoftTargets(), Hint("stage2", "stage2", variant="reference")]
    return distiller(losses, metrics=["accuracy"], run_eagerly=False)


def train(folder, trainer, callbacks=(), epochs=EPOCHS):
    """Train from the last checkpoint on; the checkpoint callback."""
    checkpoint = ResumableCheckpoint(folder)
    first = checkpoint.restore(trainer)
    for epoch in range(first, epochs):
        # One fit an epoch gives each its own data set, as a pipeline with `first_epoch` does.
        trainer.fit(
            Batches(epoch),
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[checkpoint, *callbacks],
            shuffle=False,
            verbose=0,
        )
    return checkpoint


if __name__ == "__main__":
    folder, result, *at = sys.argv[1:]
    trained = build()
    done = train(folder, trained, [Kill(*map(int, at))] if at else [])
    state = [*trained.variables, *trained.optimizer.variables]
    np.savez(result, *values(state), history=done.history["loss"])
