import errno
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from kzoo.callbacks import ResumableCheckpoint
from tests.callbacks.runs import EPOCHS, build, train
from tests.trainers.models import equal, rivals, values

ROOT = pathlib.Path(__file__).parents[2]
X, Y = np.linspace(-1, 1, 8).reshape(8, 1), np.linspace(0, 3, 8).reshape(8, 1)


def state(model):
    return values([*model.variables, *model.optimizer.variables])


def plain():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def fit(model, checkpoint, epochs, first=0):
    model.fit(
        X,
        Y,
        batch_size=4,
        shuffle=False,
        initial_epoch=first,
        epochs=epochs,
        callbacks=[checkpoint],
        verbose=0,
    )


def run(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.callbacks.runs", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    whole = run(tmp_path / "whole", tmp_path / "whole.npz")
    killed = run(tmp_path / "killed", tmp_path / "killed.npz", 2, 1)
    assert whole.wait() == 0, whole.stderr.read()
    assert killed.wait() == -9
    assert not (tmp_path / "killed.npz").exists()
    assert json.loads((tmp_path / "killed" / "checkpoint.json").read_text())["epoch"] == 2
    resumed = run(tmp_path / "killed", tmp_path / "killed.npz")
    assert resumed.wait() == 0, resumed.stderr.read()
    with np.load(tmp_path / "whole.npz") as first, np.load(tmp_path / "killed.npz") as second:
        assert first.files == second.files
        assert len(first["history"]) == EPOCHS
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("make", [plain, rivals])
def test_restored_goes_on_bit_for_bit(tmp_path, make):
    whole = make()
    fit(whole, ResumableCheckpoint(tmp_path / "whole"), 4)
    part = make()
    first = ResumableCheckpoint(tmp_path / "part")
    assert first.restore(part) == 0
    fit(part, first, 2)
    again, second = make(), ResumableCheckpoint(tmp_path / "part")
    for weight in again.weights:
        weight.assign(weight + 1.0)
    assert second.restore(again) == 2
    assert equal(state(again), state(part))
    fit(again, second, 4, first=2)
    assert equal(state(again), state(whole))
    assert len(second.history["loss"]) == 4


def test_projectors_and_seeds_are_in_the_state(tmp_path):
    trainer = build()
    train(tmp_path, trainer, epochs=1)
    again = build()
    checkpoint = ResumableCheckpoint(tmp_path)
    assert not equal(state(again)[: len(state(trainer))], state(trainer))
    assert checkpoint.restore(again) == 1
    assert equal(state(again), state(trainer))
    paths = [v[0] for v in json.loads((tmp_path / "checkpoint.json").read_text())["variables"]]
    assert any("seed_generator_state" in path for path in paths)
    assert any("regressor" in path for path in paths)
    assert len(paths) == len(again.variables) + len(again.optimizer.variables)


def test_every_so_many_epochs_and_the_last(tmp_path):
    model = plain()
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            path = tmp_path / "checkpoint.json"
            seen.append(json.loads(path.read_text())["epoch"] if path.exists() else 0)

    checkpoint = ResumableCheckpoint(tmp_path, every=2)
    model.fit(X, Y, epochs=5, verbose=0, callbacks=[checkpoint, Watch()])
    assert seen == [0, 0, 2, 2, 4]
    assert ResumableCheckpoint(tmp_path).restore(plain()) == 5
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".npz"]


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch, capsys):
    model, checkpoint = plain(), ResumableCheckpoint(tmp_path)
    fit(model, checkpoint, 1)
    before = state(model)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        fit(model, checkpoint, 2, first=1)
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    assert "Epoch 2 could not be checkpointed" in message
    assert "No space left on device" in message
    assert "the checkpoint of epoch 1 was kept" in message
    assert not list(tmp_path.glob("*.tmp"))
    again = plain()
    assert ResumableCheckpoint(tmp_path).restore(again) == 1
    assert equal(state(again), before)
    fit(model, checkpoint, 3, first=2)  # and once there is space again
    assert ResumableCheckpoint(tmp_path).restore(again) == 3


@pytest.mark.parametrize("place", ["state", "manifest"])
def test_dying_between_the_files_keeps_the_old_checkpoint(tmp_path, monkeypatch, place):
    model, checkpoint = plain(), ResumableCheckpoint(tmp_path)
    fit(model, checkpoint, 1)
    replace, calls = os.replace, []

    def die(source, target):
        calls.append(target)
        if len(calls) == (1 if place == "state" else 2):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            fit(model, checkpoint, 2, first=1)
    assert ResumableCheckpoint(tmp_path).restore(plain()) == 1


def test_nan_is_never_written(tmp_path, capsys):
    model, checkpoint = plain(), ResumableCheckpoint(tmp_path, every=2)
    fit(model, checkpoint, 2)
    model.weights[0].assign(model.weights[0] * np.nan)
    fit(model, checkpoint, 4, first=2)
    assert "loss of epoch 3 is not finite" in capsys.readouterr().err
    assert checkpoint.write() is False
    assert "hold NaN or infinity, the first is" in capsys.readouterr().err
    assert ResumableCheckpoint(tmp_path).restore(plain()) == 2


def test_damaged_and_foreign_checkpoints(tmp_path):
    model = plain()
    fit(model, ResumableCheckpoint(tmp_path), 1)
    other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    other.compile("adam", "mse")
    with pytest.raises(ValueError, match="Build the model as in the run that wrote it"):
        ResumableCheckpoint(tmp_path).restore(other)
    wider = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(5), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    with pytest.raises(ValueError, match="needs a model that is built and compiled"):
        ResumableCheckpoint(tmp_path).restore(keras.Sequential([keras.layers.Dense(1)]))
    wider.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"has shape \[1, 4\] and dtype float32"):
        ResumableCheckpoint(tmp_path).restore(wider)

    (path,) = tmp_path.glob("state-*.npz")
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: its sha256 is"):
        ResumableCheckpoint(tmp_path).restore(model)
    path.unlink()
    with pytest.raises(ValueError, match="is damaged: it is missing"):
        ResumableCheckpoint(tmp_path).restore(model)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged: it is no JSON"):
        ResumableCheckpoint(tmp_path).restore(model)


def test_bad_arguments(tmp_path):
    for every in ("batch", 0, True):
        with pytest.raises(ValueError, match="`every` must be 'epoch' or a number"):
            ResumableCheckpoint(tmp_path, every=every)
