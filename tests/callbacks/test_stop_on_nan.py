import keras
import numpy as np
import pytest

from kzoo.callbacks import ResumableCheckpoint, StopOnNaN
from kzoo.losses import Hint
from tests.trainers.models import distiller, images


class Spoil(keras.callbacks.Callback):
    """Makes one weight of the student NaN before a batch of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at, self.batches = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            kernel = self.model.student.get_layer("conv2").kernel
            kernel.assign(kernel * np.nan)

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


def test_stops_with_one_line_and_keeps_the_checkpoint(tmp_path, capsys):
    x, y = images(12)
    trainer, guard, spoil = distiller([Hint("stage2", "stage2")]), StopOnNaN(), Spoil(2)
    callbacks = [ResumableCheckpoint(tmp_path), spoil, guard]
    trainer.fit(x, y, batch_size=4, epochs=9, verbose=0, callbacks=callbacks)
    assert spoil.batches == 2 * 3 + 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "Training stopped" in line]
    assert lines == [guard.message]
    assert "at epoch 3, batch 1" in guard.message
    assert "hint=nan" in guard.message
    assert "the last good checkpoint was not touched" in guard.message
    assert ResumableCheckpoint(tmp_path).restore(distiller([Hint("stage2", "stage2")])) == 2


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinity_counts(value):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mae")
    guard = StopOnNaN()
    labels = np.zeros((4, 1), "float32")
    model.fit(labels, labels + value, epochs=3, verbose=0, callbacks=[guard])
    assert guard.message is not None
    model.layers[0].set_weights([np.ones((1, 1)), np.ones(1)])
    model.fit(labels, labels, epochs=1, verbose=0, callbacks=[guard])
    assert guard.message is None
