"""Several networks from one training: one at the end of each cycle of the learning rate."""

import sys

import keras

from kzoo.callbacks._arrays import array, finite
from kzoo.callbacks._cycles import Cycles
from kzoo.callbacks._ensemble import mean_of, network_of
from kzoo.callbacks._learning_rates import check_can_be_set, known_steps
from kzoo.callbacks._snapshot_folder import SnapshotFolder
from kzoo.losses._arguments import check_integer, check_number
from kzoo.registry import register


@register(
    "callback",
    paper="arXiv:1704.00109",
    aliases=("SnapshotEnsembles", "SnapshotEnsembling"),
    tiny={"build": lambda: SnapshotEnsemble(2, 0.1)},
)
class SnapshotEnsemble(keras.callbacks.Callback):
    """Lowers the learning rate to 0 several times and keeps the network of the end of each cycle.

    Use it where an ensemble is wanted and there is time for one training. The mean of the
    snapshots is usually better than the last of them; how much depends on how unlike they are, so
    give each cycle a good number of epochs and a high learning rate to start from.

    Reference:
        G. Huang, Y. Li, G. Pleiss, Z. Liu, J. E. Hopcroft, K. Q. Weinberger, "Snapshot Ensembles:
        Train 1, get M for free", ICLR 2017, arXiv:1704.00109.

    Of T steps in M cycles of L = T / M steps, step t = 1, 2, ..., T has the learning rate

        α(t) = α0 / 2 · (cos(π · mod(t − 1, L) / L) + 1)

    Where M does not divide T, cycle k ends after step round(k T / M), so that all are as good as
    equal and the last one ends with the training. At each end the weights are kept in `snapshots`.

    The rate is set before every batch. Of `kzoo.trainers.PlayerOptimizers` the first player
    gets it, the others in the proportion in which they started.
    Snapshots are taken of the model that is trained; of a kzoo trainer, of its student or of
    the first of its classifiers. `ensemble()` gives the mean of the probabilities.

    With `folder` the snapshots are written there, and a run that goes on at
    `fit(initial_epoch=...)`, for example after `ResumableCheckpoint.restore`, goes on in the same
    cycle with the same snapshots. The place in the list of callbacks makes no difference. Use no
    second callback that sets the learning rate.

    Logs `learning_rate`, that of the last batch of the epoch. A network with NaN is not kept:
    training stops, with one line on stderr that says why.

    Args:
        cycles: M.
        learning_rate: α0, at the start of each cycle.
        folder: where the snapshots are written; `None` to keep them in memory only.
        epochs: epochs of the whole training; `None` for those given to `fit`. Give it where `fit`
            is called for a few epochs at a time.
        network: the model to take snapshots of, where it is not the one named above.

    Raises:
        ValueError: for arguments out of range; when training begins for more cycles than epochs, an
            unknown number of steps, a learning rate that is a schedule, `steps_per_execution`
            above 1; when it goes on for snapshots that are missing or of another run.

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy")
    snapshots = kzoo.callbacks.SnapshotEnsemble(cycles=2, learning_rate=0.1)
    x, y = np.random.rand(8, 4), np.arange(8) % 3
    model.fit(x, y, epochs=4, callbacks=[snapshots], verbose=0)
    probabilities = snapshots.ensemble(last=2).predict(x, verbose=0)
    ```

    Differences: the paper's ⌈T / M⌉ breaks off the last cycle where M does not divide T, and the
    authors' code starts it in the middle; here the cycles are stretched.
    """

    def __init__(self, cycles, learning_rate, folder=None, epochs=None, network=None):
        super().__init__()
        self.cycles = check_integer("cycles", cycles)
        self.learning_rate = check_number("learning_rate", learning_rate)
        self.folder = folder
        self.epochs = None if epochs is None else check_integer("epochs", epochs)
        self.network = network
        self.snapshots = []
        self._steps = self._done = 0
        self._plan = None
        self._begun = False
        self._files = SnapshotFolder(folder)

    def ensemble(self, last=None, name="ensemble"):
        """The mean of the probabilities of snapshots, as a plain Keras model.

        Args:
            last: how many, counted from the end; `None` for all.
            name: of the model.

        Returns:
            A `keras.Model` with weights of its own.

        Raises:
            ValueError: where there are not as many snapshots, and for a network that is
                no functional or `Sequential` classifier.
        """
        count = len(self.snapshots) if last is None else check_integer("last", last)
        if not 0 < count <= len(self.snapshots):
            raise ValueError(
                f"`last` must be at most the number of snapshots. Received: last={last}, "
                f"{len(self.snapshots)} snapshots. Each full cycle of the training gives one."
            )
        return mean_of(self._network(), self.snapshots[-count:], name)

    def on_train_begin(self, logs=None):
        """Divide the steps of the training into cycles."""
        self._steps = known_steps(self.params.get("steps"))
        epochs = self.params["epochs"] if self.epochs is None else self.epochs
        if self.cycles > epochs:
            raise ValueError(
                "`cycles` must be at most the number of epochs. Received: "
                f"cycles={self.cycles}, epochs={epochs}. Train longer or take fewer cycles."
            )
        if epochs < self.params["epochs"]:
            raise ValueError(
                "`epochs` must be all epochs of the training. Received: "
                f"epochs={epochs}, and fit(epochs={self.params['epochs']})"
            )
        check_can_be_set(self.model)
        self._plan = Cycles(epochs * self._steps, self.cycles)
        self._begun = False

    def on_epoch_begin(self, epoch, logs=None):
        """Find the place in the cycles; bring back the snapshots of those that have ended."""
        self._done = epoch * self._steps
        if not self._begun:
            self._begun = True
            self._go_on(self._plan.ended(self._done))

    def on_train_batch_begin(self, batch, logs=None):
        """Set the learning rate of the batch."""
        rate = self._plan.rate(self.learning_rate, self._done + batch)
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        """Take a snapshot where a cycle ends."""
        if len(self.snapshots) < self._plan.ended(self._done + batch + 1):
            self._take()

    def on_epoch_end(self, epoch, logs=None):
        """Log the learning rate."""
        if logs is not None:
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            logs["learning_rate"] = float(rate)

    def on_train_end(self, logs=None):
        """Bring back all snapshots where nothing was left to train."""
        if not self._begun and self.folder is not None:
            self._go_on(self._plan.ended(self.params["epochs"] * self._steps))

    def _network(self):
        trained = self.model  # on JAX reading it brings the weights up to date
        return network_of(trained) if self.network is None else self.network

    def _take(self):
        values = [array(variable) for variable in self._network().weights]
        number = len(self.snapshots) + 1
        if not all(map(finite, values)):
            self.model.stop_training = True
            print(
                f"\nTraining stopped: at the end of cycle {number} the network holds NaN or "
                "infinity. No snapshot of it was taken. Lower the learning rate.",
                file=sys.stderr,
            )
            return
        self.snapshots.append(values)
        self._files.write(self.snapshots, self._run())

    def _run(self):
        return {"cycles": self.cycles, "steps": self._plan.ends[-1]}

    def _go_on(self, ended):
        """Have the snapshots of the cycles that have ended, and no others."""
        if len(self.snapshots) < ended:
            self.snapshots = self._files.read(ended, self._run())
        del self.snapshots[ended:]
        self._files.keep(ended)
