"""Mutual learning against Algorithm 1 of its paper, computed by hand."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import registry, schedules, testing
from kzoo.trainers import MutualLearning, PlayerOptimizers
from tests.trainers.models import classifier, equal, images, values

RATES = (0.5, 0.2, 0.1)
STARTS = ([[0.3, -0.2, 0.1]], [[-0.4, 0.5, 0.2]], [[0.1, 0.1, -0.6]])
X = np.array([[1.0], [2.0], [-1.0], [0.5]], "float32")
Y = np.array([0, 2, 1, 0])
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
WITH_BATTERY = ("right_variables_move", "updates_move_their_own", "terms_sum_to_loss")


def line(start, name):
    """Logits that are one weight a class times x."""
    start = keras.initializers.Constant(np.array(start, "float32"))
    layer = keras.layers.Dense(3, use_bias=False, kernel_initializer=start, name="logits")
    return keras.Sequential([keras.Input((1,)), layer], name=name)


def lines(count=2, rates=RATES, **options):
    names = ("first", "second", "third")[:count]
    trainer = MutualLearning([line(s, n) for s, n in zip(STARTS, names, strict=False)], **options)
    rates = dict(zip(names, rates, strict=False))
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    trainer.compile(PlayerOptimizers(optimizers), LOSS, run_eagerly=eager())
    return trainer


def eager():
    return keras.backend.backend() == "tensorflow"


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gradient(weights, index, temperature=1.0, weight=1.0, task_weight=1.0, consensus="peer"):
    """Gradient of one network's loss by its own weights, and the loss; NumPy, float64."""
    x = X.astype("float64")
    logits = [x @ w for w in weights]
    own = logits[index]
    others = [z for number, z in enumerate(logits) if number != index]
    taught = {
        "peer": others,
        "mean": [np.mean(logits, axis=0)],
        "leave_one_out": [np.mean(others, axis=0)],
    }[consensus]
    soft, hard = softmax(own / temperature), softmax(own)
    by_logits = task_weight * (hard - np.eye(3)[Y])
    value = task_weight * np.mean(-np.log(hard[np.arange(4), Y]))
    for q in (softmax(z / temperature) for z in taught):
        by_logits = by_logits + weight * temperature * (soft - q) / len(taught)
        divergence = np.sum(q * (np.log(q) - np.log(soft)), axis=-1)
        value += weight * temperature**2 * np.mean(divergence) / len(taught)
    return x.T @ by_logits / 4, value


def by_hand(steps, sequential, count=2, **options):
    """The weights of all networks after some steps, and the loss of the first one."""
    weights, losses = [np.array(s, "float64") for s in STARTS[:count]], []
    for _ in range(steps):
        before, total = [w.copy() for w in weights], 0.0
        for index in range(count):
            found, value = gradient(weights if sequential else before, index, **options)
            weights[index] = weights[index] - RATES[index] * found
            total += value
        losses.append(total)
    return weights, losses


@pytest.mark.parametrize("mode", ["sequential", "simultaneous"])
def test_two_steps_of_algorithm_1(mode):
    trainer = lines(mode=mode)
    history = trainer.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    expected, losses = by_hand(2, mode == "sequential")
    for model, weights in zip(trainer.models, expected, strict=True):
        np.testing.assert_allclose(values(model.weights)[0], weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)


def test_the_modes_differ_as_algorithm_1_says():
    sequential, _ = by_hand(1, True)
    simultaneous, _ = by_hand(1, False)
    np.testing.assert_allclose(sequential[0], simultaneous[0])
    assert np.abs(sequential[1] - simultaneous[1]).max() > 1e-3
    found = [lines(mode=mode) for mode in ("sequential", "simultaneous")]
    for trainer in found:
        trainer.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    first, second = ([values(m.weights)[0] for m in trainer.models] for trainer in found)
    np.testing.assert_allclose(first[0], second[0], rtol=1e-6)
    np.testing.assert_allclose(first[1] - second[1], sequential[1] - simultaneous[1], atol=1e-6)


@pytest.mark.parametrize("consensus", ["peer", "mean", "leave_one_out"])
@pytest.mark.parametrize("mode", ["sequential", "simultaneous"])
def test_three_networks_and_each_consensus(mode, consensus):
    options = {"temperature": 2.0, "weight": 0.7, "task_weight": 0.4, "consensus": consensus}
    trainer = lines(3, mode=mode, **options)
    trainer.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    expected, _ = by_hand(1, mode == "sequential", 3, **options)
    for model, weights in zip(trainer.models, expected, strict=True):
        np.testing.assert_allclose(values(model.weights)[0], weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("consensus", "expected"),
    [
        ("peer", (1.0, 1.0, 1.0)),
        ("mean", (4.0, 0.5, 0.5)),
        ("leave_one_out", (2.0, 0.5, 0.5)),
        ("gate", (3.0, 1.0, 1.0)),
    ],
)
def test_published_settings(consensus, expected):
    trainer = MutualLearning([classifier("a"), classifier("b")], consensus=consensus)
    assert (trainer.temperature, trainer.weight, trainer.task_weight) == expected


def gated(mode="simultaneous", **options):
    keras.utils.set_random_seed(0)
    trainer = MutualLearning(
        [classifier("first", 2), classifier("second", 3)], mode, "gate", **options
    )
    loss = "sparse_categorical_crossentropy"
    trainer.compile(keras.optimizers.SGD(0.05), loss, run_eagerly=eager())
    return trainer


def test_terms_of_the_gate_against_numpy():
    trainer, (x, y) = gated(), images(6)
    peers = trainer._hidden.peers
    keras.utils.set_random_seed(1)
    found = peers.read(x, True)
    features = np.asarray(ops.convert_to_numpy(peers.gate_features(found)), "float64")
    assert features.shape == (6, 5)
    logits = [np.asarray(ops.convert_to_numpy(one["logits"]), "float64") for one in found]
    dense, norm = trainer.gate.layers[:2]
    hidden = features @ ops.convert_to_numpy(dense.kernel)
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + norm.epsilon)
    gates = softmax(np.maximum(hidden, 0.0))
    mixed = sum(g[:, None] * z for g, z in zip(gates.T, logits, strict=True))
    history = gated().fit(x, y, batch_size=6, verbose=0).history
    expected = -np.mean(np.log(softmax(mixed)[np.arange(6), y]))
    np.testing.assert_allclose(history["gate_task_loss"][0], expected, rtol=1e-4)
    teacher, own = softmax(mixed / 3.0), softmax(logits[1] / 3.0)
    mutual = 9.0 * np.mean(np.sum(teacher * np.log(teacher / own), -1))
    np.testing.assert_allclose(history["second_mutual"][0], mutual, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["sequential", "simultaneous"])
@pytest.mark.parametrize("consensus", [pytest.param("peer", marks=pytest.mark.slow), "gate"])
def test_the_battery_in_every_mode(mode, consensus):
    entry = registry.get("trainer", "MutualLearning")

    def build(small):
        return MutualLearning([small("first"), small("second")], mode, consensus)

    players = ("first", "second", *(["gate"] if consensus == "gate" else []))
    entry = dataclasses.replace(entry, tiny={"build": build}, facts={"players": players})
    for result in testing.run(entry, [*WITH_BATTERY, "statistics_once"]):
        assert result.ok or result.status == "skipped", result.message


def test_a_peer_teaches_as_it_trains_and_nothing_in_it_changes():
    """Batch statistics, not moving ones; and these are updated by the own update alone."""
    keras.utils.set_random_seed(0)
    trainer = MutualLearning([classifier("first"), classifier("second")])
    trainer.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    x, y = images()
    norm = trainer.models[1].get_layer("norm1")
    norm.moving_mean.assign(ops.ones_like(norm.moving_mean) * 50.0)
    first = trainer.fit(x, y, batch_size=8, verbose=0).history["first_mutual"][0]
    norm.moving_mean.assign(ops.zeros_like(norm.moving_mean))
    again = trainer.fit(x, y, batch_size=8, verbose=0).history["first_mutual"][0]
    assert first == pytest.approx(again, rel=1e-5)


def test_networks_of_weight_zero_ignore_each_other():
    def trained(second):
        keras.utils.set_random_seed(0)
        models = [classifier("first"), classifier("second", second)]
        models[0].set_weights([np.full(w.shape, 0.1) for w in models[0].get_weights()])
        trainer = MutualLearning(models, weight=0.0)
        trainer.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        history = trainer.fit(*images(), batch_size=8, verbose=0).history
        assert not any(name.endswith("mutual") for name in history)
        return models[0].get_weights()

    assert equal(trained(2), trained(5))


def test_best_is_the_most_accurate_of_the_last_evaluation():
    x, _ = images(30)
    models = [classifier("first"), classifier("second", 6)]
    trainer = MutualLearning(models)
    trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert trainer.best() is models[0]
    bias = models[1].get_layer("logits").bias
    bias.assign(np.array([50.0, 0.0, 0.0], "float32"))
    models[0].get_layer("logits").bias.assign(np.array([0.0, 50.0, 0.0], "float32"))
    found = trainer.evaluate(x, np.zeros(30, "int64"), verbose=0, return_dict=True)
    assert (found["first_accuracy"], found["second_accuracy"]) == (0.0, 1.0)
    assert found["accuracy"] == 0.0
    assert trainer.best() is models[1]
    listed = trainer.evaluate(x, np.ones(30, "int64"), verbose=0)
    assert isinstance(listed, list)
    assert trainer.best() is models[0]
    assert set(trainer.classifiers) == {"first", "second"}


def test_fit_validates_each_network():
    x, y = images()
    trainer = gated()
    logs = trainer.fit(x, y, validation_data=(x, y), epochs=2, batch_size=8, verbose=0).history
    for name in ("first", "second", "ensemble"):
        assert 0.0 <= logs[f"{name}_accuracy"][0] <= 1.0
        expected = trainer.evaluate(x, y, verbose=0, return_dict=True)[f"{name}_accuracy"]
        assert logs[f"val_{name}_accuracy"][-1] == pytest.approx(expected)
    assert not any(name.startswith("val_") and name.endswith("mutual") for name in logs)


def test_accuracies_of_evaluate_are_those_of_the_present_weights():
    x, y = images()
    trainer = gated()
    trainer.evaluate(x, y, verbose=0)
    wanted = np.eye(3, dtype="float32")[1] * 50.0
    trainer.models[1].get_layer("logits").bias.assign(wanted)
    found = trainer.evaluate(x, np.ones(8, "int64"), verbose=0, return_dict=True)
    assert found["second_accuracy"] == 1.0


def test_the_ensemble_is_the_mean_of_the_probabilities(tmp_path):
    x, _ = images()
    models = [classifier("first"), classifier("second", 5)]
    ensemble = MutualLearning(models).ensemble
    mean = np.mean([ops.convert_to_numpy(m(x)) for m in models], axis=0)
    np.testing.assert_allclose(ops.convert_to_numpy(ensemble(x)), mean, rtol=1e-5)
    raw = MutualLearning([line(STARTS[0], "a"), line(STARTS[1], "b")]).ensemble
    expected = np.mean([softmax(X @ np.array(s)) for s in STARTS[:2]], axis=0)
    np.testing.assert_allclose(ops.convert_to_numpy(raw(X)), expected, rtol=1e-5)
    ensemble.save(tmp_path / "ensemble.keras")
    loaded = keras.saving.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(x)), mean, rtol=1e-5)


def test_names_of_equal_networks_are_numbered_and_one_optimizer_is_copied():
    models = [classifier("net"), classifier("net"), classifier("other")]
    trainer = MutualLearning(models)
    assert list(trainer.players()) == ["net_1", "net_2", "other"]
    assert trainer.ensemble(images()[0]).shape == (8, 3)
    trainer.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    trainer.fit(*images(), batch_size=8, verbose=0)
    optimizers = [trainer.optimizer[name] for name in trainer.players()]
    assert len({id(o) for o in optimizers}) == 3
    assert all(float(o.learning_rate) == pytest.approx(3e-3) for o in optimizers)
    assert int(optimizers[2].iterations) == 1


@pytest.mark.parametrize("mode", ["sequential", "simultaneous"])
def test_names_of_the_gate_and_the_ensemble_are_taken(mode):
    models = [classifier(name) for name in ("gate", "ensemble", "net", "net", "net_3")]
    trainer = MutualLearning(models, mode, "gate")
    names = ["gate_1", "ensemble_2", "net_4", "net_5", "net_3"]
    assert sorted(trainer.players()) == sorted([*names, "gate"])
    before = {name: values(moved) for name, moved in trainer.players().items()}
    trainer.compile("sgd", "sparse_categorical_crossentropy")
    logs = trainer.fit(*images(), batch_size=8, verbose=0).history
    for name, moved in trainer.players().items():
        assert not equal(values(moved), before[name]), name
    assert {f"{name}_accuracy" for name in [*names, "ensemble"]} <= set(logs)


def test_networks_that_end_differently_are_refused():
    logits = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()], name="plain")
    logits.add(keras.layers.Dense(3))
    with pytest.raises(ValueError, match="'net' with a softmax, 'plain' with logits"):
        MutualLearning([classifier("net"), logits])


@pytest.mark.parametrize("mode", ["sequential", "simultaneous"])
@pytest.mark.parametrize("consensus", ["peer", "mean", "gate"])
def test_a_half_precision_network_beside_another(mode, consensus):
    def network(name, policy):
        layers = [keras.layers.Flatten(), keras.layers.Dense(3, dtype=policy, name="stage1")]
        layers.append(keras.layers.Dense(3, dtype=policy))
        return keras.Sequential([keras.Input((8, 8, 1)), *layers], name=name)

    trainer = MutualLearning(
        [network("wide", "float32"), network("half", "mixed_float16")], mode, consensus
    )
    trainer.compile("sgd", LOSS)
    logs = trainer.fit(*images(), batch_size=8, verbose=0).history
    assert np.isfinite(logs["loss"][0])


def test_all_networks_of_a_batch_get_the_weight_of_one_step():
    switched_on = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 1.0])
    trainer = MutualLearning([classifier("a"), classifier("b")], weight=switched_on)
    trainer.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=eager())
    logs = trainer.fit(*images(), batch_size=8, epochs=2, verbose=0).history
    for name in ("a_mutual", "b_mutual"):
        assert logs[name][0] == 0.0
        assert logs[name][1] > 0.0


def test_a_loaded_trainer_knows_which_network_was_best(tmp_path):
    trainer = MutualLearning([classifier("a"), classifier("b")])
    trainer.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=eager())
    x, _ = images()
    trainer.models[1].get_layer("logits").bias.assign([0.0, 50.0, 0.0])
    trainer.models[0].get_layer("logits").bias.assign([50.0, 0.0, 0.0])
    trainer.evaluate(x, np.ones(8, "int64"), verbose=0)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert trainer.best().name == loaded.best().name == "b"


def test_networks_that_are_not_built_are_built_by_fit():
    def network(name):
        return keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(3)], name=name)

    trainer = MutualLearning([network("a"), network("b")])
    trainer.compile("sgd", LOSS)
    trainer.fit(X, Y, batch_size=4, verbose=0)
    assert trainer.predict(X, verbose=0).shape == (4, 3)


def test_a_scheduled_weight_comes_back_from_the_file(tmp_path):
    trainer = MutualLearning(
        [classifier("first"), classifier("second")],
        mode="simultaneous",
        weight=schedules.WarmUp(2.0, steps=4),
    )
    trainer.compile("sgd", "sparse_categorical_crossentropy")
    trainer.fit(*images(), batch_size=8, verbose=0)
    trainer.save(tmp_path / "peers.keras")
    loaded = keras.saving.load_model(tmp_path / "peers.keras")
    assert loaded.weight.get_config() == trainer.weight.get_config()
    assert loaded.mode == "simultaneous"
    for each in (trainer, loaded):
        each.fit(*images(), batch_size=8, verbose=0)
    found = (values(t.trainable_variables) for t in (trainer, loaded))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MutualLearning([classifier("one")]), "two or more keras.Model"),
        (lambda: MutualLearning(classifier("one")), "two or more keras.Model"),
        (lambda: MutualLearning([classifier("one"), "two"]), "Received: ['two']"),
        (
            lambda: MutualLearning([classifier("one"), classifier("two", classes=4)]),
            "'one' has 3, 'two' has 4",
        ),
        (lambda: MutualLearning([classifier("a"), classifier("b")], "alternating"), "mode"),
        (
            lambda: MutualLearning([classifier("a"), classifier("b")], consensus="vote"),
            "consensus",
        ),
        (lambda: MutualLearning([classifier("a"), classifier("b")], temperature=0), "temperature"),
        (lambda: MutualLearning([classifier("a"), classifier("b")], weight=-1.0), "weight"),
        (
            lambda: MutualLearning(
                [classifier("a"), classifier("b")], consensus="gate", gate_tap="stage7"
            ),
            "no tap or layer 'stage7'",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)


def test_networks_must_be_networks_of_their_own():
    one = classifier("one")
    with pytest.raises(ValueError, match=r"share the variable|twice"):
        MutualLearning([one, one])
    inner = keras.Sequential([keras.Input((8, 8, 1)), one], name="outer")
    with pytest.raises(ValueError, match="share the variable"):
        MutualLearning([one, inner])
