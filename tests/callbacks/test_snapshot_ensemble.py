import errno
import json
import math
import os

import keras
import numpy as np
import pytest

from kzoo import data
from kzoo.callbacks import ResumableCheckpoint, SnapshotEnsemble
from kzoo.callbacks._cycles import Cycles
from tests.callbacks.side_by_side import Rates, trainer
from tests.callbacks.test_resumable_checkpoint import state
from tests.trainers.models import classifier, distiller, equal, images, rivals

X, Y = images(12)


def small(optimizer=None, dropout=0.2, **options):
    """Logits of three classes, with dropout; the same each time."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dropout(dropout), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers], name="small")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optimizer or keras.optimizers.SGD(0.5, momentum=0.9)
    eager = keras.backend.backend() == "tensorflow" and "steps_per_execution" not in options
    model.compile(optimizer, loss, **{"run_eagerly": eager, **options})
    return model


def fit(model, callbacks, epochs, first=0, steps=3):
    return model.fit(
        X[: 4 * steps],
        Y[: 4 * steps],
        batch_size=4,
        shuffle=False,
        initial_epoch=first,
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
    )


def published(highest, steps, cycles):
    """The formula of the paper, where all cycles have one length."""
    length = math.ceil(steps / cycles)
    return [
        highest / 2 * (math.cos(math.pi * ((t - 1) % length) / length) + 1)
        for t in range(1, steps + 1)
    ]


@pytest.mark.parametrize(("steps", "count"), [(12, 3), (12, 1), (12, 12), (200, 5), (3910, 5)])
def test_rates_of_the_paper(steps, count):
    cycles = Cycles(steps, count)
    found = [cycles.rate(0.2, done) for done in range(steps)]
    np.testing.assert_allclose(found, published(0.2, steps, count), atol=1e-12)


@pytest.mark.parametrize(("steps", "count"), [(200, 6), (7, 3), (10, 4), (11, 10), (5, 2)])
def test_cycles_of_uneven_length(steps, count):
    cycles = Cycles(steps, count)
    lengths = np.diff([0, *cycles.ends])
    assert cycles.ends[-1] == steps
    assert lengths.max() - lengths.min() <= 1
    for k, end in enumerate(cycles.ends, start=1):
        assert abs(end - k * steps / count) <= 0.5
        assert (cycles.ended(end - 1), cycles.ended(end)) == (k - 1, k)
    found = [cycles.rate(0.1, done) for done in range(steps)]
    expected = [r for length in lengths for r in published(0.1, length, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    starts = [0, *cycles.ends[:-1]]
    assert [done for done, rate in enumerate(found) if rate == 0.1] == starts


@pytest.mark.parametrize(("epochs", "cycles"), [(4, 2), (4, 4), (4, 3), (2, 1)])
def test_rates_and_snapshots_of_a_training(epochs, cycles):
    ends = Cycles(3 * epochs, cycles).ends

    class Keep(keras.callbacks.Callback):
        weights, batches = (), 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            if self.batches in ends:
                self.weights = [*self.weights, self.model.get_weights()]

    model, callback = small(), SnapshotEnsemble(cycles, 0.2)
    keep, rates = Keep(), Rates()
    logged = fit(model, [callback, keep, rates], epochs).history["learning_rate"]
    plan = Cycles(3 * epochs, cycles)
    expected = [plan.rate(0.2, done) for done in range(3 * epochs)]
    np.testing.assert_allclose(rates.seen, expected, rtol=1e-6)
    np.testing.assert_allclose(logged, expected[2::3], rtol=1e-6)
    assert len(callback.snapshots) == cycles
    for snapshot, weights in zip(callback.snapshots, keep.weights, strict=True):
        assert equal(snapshot, weights)
    assert equal(callback.snapshots[-1], model.get_weights())


def test_each_step_is_made_with_its_rate():
    """Compiled as usual: the rate must reach a step that was traced before."""
    model, expected = (small(dropout=0.0, run_eagerly=False) for _ in range(2))
    fit(model, [SnapshotEnsemble(2, 0.4)], 2)
    for step, rate in enumerate(published(0.4, 6, 2)):
        expected.optimizer.learning_rate = rate
        batch = slice(4 * (step % 3), 4 * (step % 3) + 4)
        expected.train_on_batch(X[batch], Y[batch])
    for found, value in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


def test_players_keep_their_proportion():
    optimizers = {"first": keras.optimizers.SGD(0.1), "second": keras.optimizers.SGD(0.05)}
    made = rivals(optimizers)
    x = np.linspace(-1, 1, 8).reshape(8, 1)
    rates = Rates()
    made.fit(x, x, batch_size=4, epochs=2, callbacks=[SnapshotEnsemble(1, 0.4), rates], verbose=0)
    np.testing.assert_allclose(rates.seen, published(0.4, 4, 1), rtol=1e-6)
    assert float(made.optimizer["second"].learning_rate) == pytest.approx(rates.seen[-1] / 2)


def test_optimisers_that_scale_the_loss():
    model = small(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)))
    rates = Rates()
    fit(model, [SnapshotEnsemble(2, 0.4), rates], 2)
    np.testing.assert_allclose(rates.seen, published(0.4, 6, 2), rtol=1e-6)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def members(model, snapshots):
    found = []
    for snapshot in snapshots:
        model.set_weights(snapshot)
        found.append(model.predict(X, verbose=0))
    return found


@pytest.mark.parametrize("last", [None, 1, 2])
def test_the_ensemble_is_the_mean_of_probabilities(tmp_path, last):
    model, callback = small(), SnapshotEnsemble(3, 0.2)
    fit(model, [callback], 3)
    after = model.get_weights()
    ensemble = callback.ensemble(last)
    assert equal(model.get_weights(), after)
    logits = members(model, callback.snapshots[-(last or 3) :])
    expected = np.mean([softmax(one) for one in logits], axis=0)
    found = ensemble.predict(X, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    ensemble.save(tmp_path / "ensemble.keras")
    again = keras.saving.load_model(tmp_path / "ensemble.keras", custom_objects={})
    np.testing.assert_allclose(again.predict(X, verbose=0), found, atol=1e-6)


def test_probabilities_are_not_squashed_again():
    model = classifier("net")
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = SnapshotEnsemble(2, 0.5)
    fit(model, [callback], 2)
    expected = np.mean(members(model, callback.snapshots), axis=0)
    np.testing.assert_allclose(callback.ensemble().predict(X, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_unit_is_a_probability(activation):
    layers = [keras.layers.Flatten(), keras.layers.Dense(1, activation)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    loss = keras.losses.BinaryCrossentropy(from_logits=activation is None)
    model.compile(keras.optimizers.SGD(0.1), loss)
    callback = SnapshotEnsemble(2, 0.5)
    model.fit(X, Y == 1, epochs=2, callbacks=[callback], verbose=0)
    found = np.array(members(model, callback.snapshots))
    expected = np.mean(found if activation else 1 / (1 + np.exp(-found)), axis=0)
    np.testing.assert_allclose(callback.ensemble().predict(X, verbose=0), expected, atol=1e-6)


def test_a_network_with_branches_and_named_inputs():
    inputs = {"left": keras.Input((4,), name="left"), "right": keras.Input((4,), name="right")}
    first = keras.layers.Dense(4, name="z_first")(inputs["left"])
    second = keras.layers.Dense(4, name="a_second")(inputs["right"])
    hidden = keras.layers.Add()([second, first])
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax", name="top")(hidden))
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    x = {name: generator.standard_normal((6, 4)).astype("float32") for name in inputs}
    callback = SnapshotEnsemble(1, 0.1)
    model.fit(x, np.arange(6) % 3, epochs=1, callbacks=[callback], verbose=0)
    found = callback.ensemble().predict(x, verbose=0)
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-6)


def test_jensen_on_real_images():
    """The ensemble's mean log-likelihood is never below the mean of its members'."""
    images, labels = data.load("digits").arrays("train")
    size = images.shape[1:]
    model = keras.Sequential(
        [keras.Input(size), keras.layers.Flatten(), keras.layers.Dense(16, "relu")]
    )
    model.add(keras.layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy")
    callback = SnapshotEnsemble(4, 0.2)
    model.fit(images, labels, batch_size=64, epochs=4, callbacks=[callback], verbose=0)
    held, truth = data.load("digits").arrays("validation")

    def likelihood(network):
        chosen = network.predict(held, verbose=0)[np.arange(len(truth)), truth]
        return -np.log(np.maximum(chosen.astype("float64"), 1e-12))

    each = []
    for snapshot in callback.snapshots:
        model.set_weights(snapshot)
        each.append(likelihood(model))
    assert np.ptp([one.mean() for one in each]) > 1e-3  # they differ
    for last in (2, 4):
        together = likelihood(callback.ensemble(last)).mean()
        assert together < np.mean(each[-last:])
        assert together > 0


def test_what_a_snapshot_is_taken_of():
    student = SnapshotEnsemble(1, 0.1)
    taught = distiller()
    fit(taught, [student], 1)
    assert equal(student.snapshots[0], taught.student.get_weights())
    assert student.ensemble().count_params() == taught.student.count_params()
    made = trainer()
    first, second = SnapshotEnsemble(1, 0.1), SnapshotEnsemble(1, 0.1, network=made.models[1])
    fit(made, [first, second], 1)
    assert equal(first.snapshots[0], made.models[0].get_weights())
    assert equal(second.snapshots[0], made.models[1].get_weights())
    assert not equal(first.snapshots[0], second.snapshots[0])


def test_a_given_network_is_read_as_it_is_after_the_step():
    """By this callback alone: on JAX reading the model is what brings weights up to date."""
    made = trainer()
    callback = SnapshotEnsemble(1, 0.1, network=made.models[1])
    fit(made, [callback], 1)
    assert equal(callback.snapshots[0], made.models[1].get_weights())


@pytest.mark.parametrize(("done", "first"), [(1, True), (2, True), (3, False)])
def test_resumed_goes_on_in_the_same_cycle(tmp_path, done, first):
    """Four epochs of three steps in three cycles end after steps 4, 8 and 12: within epochs."""

    def callbacks(folder):
        checkpoint = ResumableCheckpoint(tmp_path / folder / "state")
        snapshots = SnapshotEnsemble(3, 0.2, tmp_path / folder / "snapshots", epochs=4)
        both = [snapshots, checkpoint]
        return snapshots, checkpoint, both if first else both[::-1]

    whole, (kept, _, both) = small(), callbacks("whole")
    fit(whole, both, 4)
    fit(small(), callbacks("part")[2], done)
    again, rates, (resumed, checkpoint, both) = small(), Rates(), callbacks("part")
    assert checkpoint.restore(again) == done
    fit(again, [*both, rates], 4, first=done)
    plan = Cycles(12, 3)
    expected = [plan.rate(0.2, step) for step in range(3 * done, 12)]
    np.testing.assert_allclose(rates.seen, expected, rtol=1e-6)
    assert equal(state(again), state(whole))
    assert len(resumed.snapshots) == 3
    for one, other in zip(resumed.snapshots, kept.snapshots, strict=True):
        assert equal(one, other)


def test_a_finished_run_still_has_its_snapshots(tmp_path):
    callback = SnapshotEnsemble(2, 0.2, tmp_path)
    fit(small(), [callback], 2)
    again = SnapshotEnsemble(2, 0.2, tmp_path)
    model = small()
    fit(model, [again], 2, first=2)
    assert len(again.snapshots) == 2
    np.testing.assert_array_equal(
        again.ensemble().predict(X, verbose=0), callback.ensemble().predict(X, verbose=0)
    )


def test_an_older_run_in_the_folder_is_overwritten(tmp_path):
    fit(small(), [SnapshotEnsemble(2, 0.2, tmp_path)], 2)
    new = SnapshotEnsemble(2, 0.1, tmp_path, epochs=2)
    fit(small(), [new], 1)
    assert json.loads((tmp_path / "snapshots.json").read_text())["snapshots"] == 1
    resumed = SnapshotEnsemble(2, 0.1, tmp_path)
    fit(small(), [resumed], 2, first=1)
    assert equal(resumed.snapshots[0], new.snapshots[0])


def test_one_callback_over_several_fits():
    callback, model = SnapshotEnsemble(2, 0.2, epochs=2), small()
    fit(model, [callback], 1)
    fit(model, [callback], 2, first=1)
    assert len(callback.snapshots) == 2
    fit(model, [callback], 1)  # from the start
    assert len(callback.snapshots) == 1


def test_a_full_disk_does_not_stop_the_training(tmp_path, monkeypatch, capsys):
    callback = SnapshotEnsemble(2, 0.2, tmp_path, epochs=2)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    model = small()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        fit(model, [callback], 1)
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    assert "Snapshot 1 could not be written" in message
    assert not list(tmp_path.iterdir())
    fit(model, [callback], 2, first=1)  # and once there is space again
    assert {p.name for p in tmp_path.iterdir()} == {
        "snapshot-1.npz",
        "snapshot-2.npz",
        "snapshots.json",
    }


def test_no_snapshot_of_nan(capsys):
    model, callback = small(), SnapshotEnsemble(2, 0.1)
    spoilt = model.get_weights()
    spoilt[0][0, 0] = np.nan
    model.set_weights(spoilt)
    history = fit(model, [callback], 4)
    assert callback.snapshots == []
    assert "at the end of cycle 1 the network holds NaN" in capsys.readouterr().err
    assert len(history.epoch) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cycles": 0}, "`cycles` must be an integer >= 1"),
        ({"cycles": 1.5}, "`cycles` must be an integer >= 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be a finite number > 0"),
        ({"epochs": 0}, "`epochs` must be an integer >= 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SnapshotEnsemble(**{"cycles": 2, "learning_rate": 0.1, **arguments})


def test_trainings_that_cannot_be_divided():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    with pytest.raises(ValueError, match="`cycles` must be at most the number of epochs"):
        fit(small(), [SnapshotEnsemble(3, 0.1)], 2)
    with pytest.raises(ValueError, match="`epochs` must be all epochs of the training"):
        fit(small(), [SnapshotEnsemble(2, 0.1, epochs=3)], 4)
    with pytest.raises(ValueError, match=r"must be a number\. Received: .* with a CosineDecay"):
        fit(small(keras.optimizers.SGD(schedule)), [SnapshotEnsemble(2, 0.1)], 2)
    with pytest.raises(ValueError, match="steps_per_execution=3"):
        fit(small(steps_per_execution=3), [SnapshotEnsemble(2, 0.1)], 2)
    players = {"first": keras.optimizers.SGD(0.1), "second": keras.optimizers.SGD(schedule)}
    x = np.zeros((4, 1))
    with pytest.raises(ValueError, match=r"must be a number\. Received: .* with a CosineDecay"):
        rivals(players).fit(x, x, callbacks=[SnapshotEnsemble(1, 0.1)], verbose=0)

    def endless():
        while True:
            yield X, Y

    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    with pytest.raises(ValueError, match=r"steps=None\. Give fit `steps_per_epoch`"):
        small().fit(endless(), callbacks=[SnapshotEnsemble(2, 0.1)], **options)
    callback = SnapshotEnsemble(2, 0.1)
    small().fit(endless(), steps_per_epoch=2, callbacks=[callback], **options)
    assert len(callback.snapshots) == 2


def test_snapshots_that_are_not_there(tmp_path):
    callback = SnapshotEnsemble(2, 0.1)
    with pytest.raises(ValueError, match="Received: last=None, 0 snapshots"):
        callback.ensemble()
    fit(small(), [callback], 2)
    with pytest.raises(ValueError, match="Received: last=3, 2 snapshots"):
        callback.ensemble(3)
    with pytest.raises(ValueError, match="`last` must be an integer >= 1"):
        callback.ensemble(0)
    with pytest.raises(ValueError, match=r"goes on after 1 cycles, .*folder=None"):
        fit(small(), [SnapshotEnsemble(2, 0.1)], 2, first=1)
    with pytest.raises(ValueError, match=r"goes on after 1 cycles, .*folder='"):
        fit(small(), [SnapshotEnsemble(2, 0.1, tmp_path)], 2, first=1)
    fit(small(), [SnapshotEnsemble(2, 0.1, tmp_path)], 2)
    with pytest.raises(ValueError, match="are not those of this run"):
        fit(small(), [SnapshotEnsemble(2, 0.1, tmp_path)], 4, first=2)
    with pytest.raises(ValueError, match="are not those of this run"):
        fit(small(), [SnapshotEnsemble(1, 0.1, tmp_path)], 2, first=2)


def test_models_that_make_no_ensemble():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.top = keras.layers.Dense(3)

        def call(self, x):
            return self.top(keras.ops.reshape(x, (-1, 64)))

    model, callback = Own(), SnapshotEnsemble(1, 0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    fit(model, [callback], 1)
    assert equal(callback.snapshots[0], model.get_weights())
    with pytest.raises(ValueError, match="copies of a functional or Sequential"):
        callback.ensemble()
    maps = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
    maps.compile(keras.optimizers.SGD(0.1), "mse")
    callback = SnapshotEnsemble(1, 0.1)
    maps.fit(X, X, callbacks=[callback], verbose=0)
    with pytest.raises(ValueError, match=r"with outputs of shape \(None, 8, 8, 1\)"):
        callback.ensemble()
