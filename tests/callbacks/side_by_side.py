"""Networks that are trained side by side, with all callbacks, in a process that may die.

`python -m tests.callbacks.side_by_side FOLDER RESULT [EPOCH BATCH]` trains for three epochs with
checkpoints and snapshots in FOLDER, goes on where they end, and writes weights, snapshots and
learning rates to RESULT; at that epoch and batch it kills itself.
"""

import pathlib
import sys

import keras
import numpy as np

from kzoo.callbacks import FilterGrafting, ResumableCheckpoint, SnapshotEnsemble
from kzoo.trainers import MutualLearning, PlayerOptimizers
from tests.callbacks.runs import Kill
from tests.trainers.models import classifier, images, values

EPOCHS, CYCLES = 3, 2


class Rates(keras.callbacks.Callback):
    """Notes the learning rate of every batch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.seen.append(float(rate))


def trainer(count=2):
    """Networks with batch normalisation, each with an optimiser of its own; the same each time."""
    keras.utils.set_random_seed(0)
    names = [f"net{number}" for number in range(1, count + 1)]
    made = MutualLearning([classifier(name) for name in names], "simultaneous", weight=0.0)
    made.compile(
        PlayerOptimizers(
            {n: keras.optimizers.SGD(0.1 / (i + 1), momentum=0.9) for i, n in enumerate(names)}
        ),
        "sparse_categorical_crossentropy",
        run_eagerly=keras.backend.backend() == "tensorflow",
    )
    return made


def fit(model, callbacks, epochs=EPOCHS, first=0, **options):
    """Three batches an epoch, in the same order each time."""
    x, y = images(12)
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, **options}
    return model.fit(x, y, initial_epoch=first, epochs=epochs, callbacks=callbacks, **options)


if __name__ == "__main__":
    folder, result, *at = sys.argv[1:]
    folder = pathlib.Path(folder)
    trained, rates = trainer(), Rates()
    checkpoint = ResumableCheckpoint(folder / "state")
    snapshots = SnapshotEnsemble(CYCLES, 0.2, folder / "snapshots")
    start = checkpoint.restore(trained)
    kill = [Kill(*map(int, at))] if at else []
    fit(trained, [FilterGrafting(), snapshots, checkpoint, rates, *kill], first=start)
    state = [*trained.variables, *trained.optimizer.variables]
    kept = [array for snapshot in snapshots.snapshots for array in snapshot]
    np.savez(result, *values(state), *kept, **checkpoint.history)
