import keras
import numpy as np
import pytest
from keras import ops

from kzoo.trainers import PlayerOptimizers, Trainer
from tests.trainers.models import (
    Rivals,
    classifier,
    distiller,
    equal,
    images,
    line,
    rivals,
    values,
)

X = np.array([[1.0], [2.0], [-1.0], [0.5]], "float32")
Y = np.array([[2.0], [3.0], [0.0], [1.0]], "float32")


class Plain(Trainer):
    """One model, one term, which is the compiled loss or one value per sample."""

    def __init__(self, model, per_sample=False):
        super().__init__()
        self.model, self.per_sample = model, per_sample
        self.built = True

    def call(self, x, training=None):
        return self.model(x, training=training)

    def compute_terms(self, x, y, sample_weight, training):
        y_pred = self.model(x, training=training)
        if self.per_sample:
            return y_pred, {"squares": ops.square(ops.cast(y, "float32") - y_pred)}
        return y_pred, {"task_loss": self.task_loss(y, y_pred, sample_weight)}


def small(seed=0, units=1, **options):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(units, **options)])


def by_hand(a, b, rates=(0.1, 0.05)):
    """One batch of Rivals in NumPy: the second player sees the first one's new weight."""
    x, y = X[:, 0].astype("float64"), Y[:, 0].astype("float64")
    terms = {
        "first_task_loss": np.mean((a * x - y) ** 2),
        "first_match": np.mean(((a - b) * x) ** 2),
    }
    a = a - rates[0] * (np.mean(2 * (a * x - y) * x) + np.mean(2 * (a - b) * x * x))
    terms["second_match"] = np.mean(((b - a) * x) ** 2)
    b = b - rates[1] * np.mean(2 * (b - a) * x * x)
    return a, b, terms


@pytest.mark.parametrize("eager", [True, False])
def test_players_move_in_order_within_a_batch(eager):
    trainer = rivals(run_eagerly=eager)
    history = trainer.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    a, b, first = by_hand(0.5, -1.0)
    a, b, second = by_hand(a, b)
    found = [float(v[0, 0]) for v in values(trainer.trainable_variables)]
    np.testing.assert_allclose(found, [a, b], rtol=1e-5)
    for epoch, terms in enumerate((first, second)):
        for name, value in terms.items():
            np.testing.assert_allclose(history[name][epoch], value, rtol=1e-5)
        np.testing.assert_allclose(history["loss"][epoch], sum(terms.values()), rtol=1e-5)
    assert set(history) == {"loss", *first}


def test_train_on_batch_is_a_step_of_fit():
    trainer = rivals()
    logs = trainer.train_on_batch(X, Y, return_dict=True)
    a, b, terms = by_hand(0.5, -1.0)
    found = [float(v[0, 0]) for v in values(trainer.trainable_variables)]
    np.testing.assert_allclose(found, [a, b], rtol=1e-5)
    np.testing.assert_allclose(float(logs["second_match"]), terms["second_match"], rtol=1e-5)


def test_two_optimizers_are_saved_and_go_on(tmp_path):
    def optimizers():
        return {
            "first": keras.optimizers.Adam(0.1),
            "second": keras.optimizers.SGD(0.05, momentum=0.9),
        }

    options = {"batch_size": 2, "epochs": 2, "shuffle": False, "verbose": 0}
    trainer = rivals(optimizers())
    trainer.fit(X, Y, **options)
    trainer.save(tmp_path / "rivals.keras")
    loaded = keras.saving.load_model(tmp_path / "rivals.keras")
    assert isinstance(loaded, Rivals)
    assert equal(values(loaded.optimizer.variables), values(trainer.optimizer.variables))
    before = values(trainer.trainable_variables)
    for each in (trainer, loaded):
        each.fit(X, Y, **options)
    assert equal(values(loaded.trainable_variables), values(trainer.trainable_variables))
    assert not equal(before, values(trainer.trainable_variables))


def test_mixed_precision_scales_the_players_together():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = rivals()
    assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
    scaled = keras.optimizers.LossScaleOptimizer(
        trainer.optimizer.inner_optimizer, initial_scale=16.0
    )
    trainer.compile(scaled, "mse")
    trainer.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    a, b, _ = by_hand(0.5, -1.0)
    found = [float(v[0, 0]) for v in values(trainer.trainable_variables)]
    np.testing.assert_allclose(found, [a, b], rtol=2e-2)
    assert int(trainer.optimizer.iterations) == 1


def test_a_step_that_overflows_moves_nobody():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = rivals()
    before = values(trainer.trainable_variables)
    trainer.fit(X * 1e4, Y, batch_size=4, shuffle=False, verbose=0)
    assert equal(values(trainer.trainable_variables), before)


def test_several_players_need_their_optimizers():
    trainer = Rivals(line(0.5, "first"), line(-1.0, "second"))
    trainer.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"has 2 players; compile it with PlayerOptimizers"):
        trainer.fit(X, Y, verbose=0)
    trainer.compile(PlayerOptimizers({"first": "sgd", "third": "sgd"}), "mse")
    with pytest.raises(ValueError, match=r"Expected: \['first', 'second'\]"):
        trainer.fit(X, Y, verbose=0)


def test_a_variable_belongs_to_one_player():
    model = line(0.5, "first")
    trainer = Rivals(model, model)
    trainer.compile(PlayerOptimizers({"first": "sgd", "second": "sgd"}), "mse")
    with pytest.raises(ValueError, match="is moved by two players"):
        trainer.fit(X, Y, verbose=0)


def test_regularizers_and_add_loss_are_one_term():
    class Penalty(keras.layers.Layer):
        def call(self, x):
            self.add_loss(3.0 + ops.sum(ops.zeros_like(x)))
            return x

    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras.Sequential([keras.Input((1,)), dense, Penalty()])
    trainer, kernel = Plain(model), float(values([dense.kernel])[0][0, 0])
    trainer.compile(keras.optimizers.SGD(0.0), "mse")
    logs = trainer.fit(X, Y, batch_size=2, epochs=2, shuffle=False, verbose=0).history
    expected = 3.0 + 0.5 * kernel**2
    np.testing.assert_allclose(logs["regularization"], [expected] * 2, rtol=1e-5)
    total = np.add(logs["task_loss"], logs["regularization"])
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-5)
    assert "regularization" not in _fitted(Plain(small()))


def _fitted(trainer):
    trainer.compile("sgd", "mse")
    return trainer.fit(X, Y, verbose=0).history


def test_a_step_equals_plain_fit():
    options = {"batch_size": 2, "epochs": 3, "shuffle": False, "verbose": 0}
    options["class_weight"] = {0: 1.0, 1: 3.0}
    labels = np.array([0, 1, 1, 0])
    found = []
    for wrap in (Plain, lambda model: model):
        model = small(units=2, kernel_regularizer="l2")
        trainer = wrap(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.Adam(0.1)
        trainer.compile(optimizer, loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
        history = trainer.fit(X, labels, **options).history
        found.append((values(model.trainable_variables), history))
    (ours, our_logs), (plain, plain_logs) = found
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for name, value in plain_logs.items():
        np.testing.assert_allclose(our_logs[name], value, rtol=1e-5)


def test_sample_weights_weigh_each_sample():
    weights = np.array([0.0, 1.0, 3.0, 0.5], "float32")
    model = small()
    trainer = Plain(model, per_sample=True)
    trainer.compile(keras.optimizers.SGD(0.0), "mse")
    squares = np.square(Y - np.asarray(ops.convert_to_numpy(model(X))))[:, 0]
    options = {"batch_size": 4, "verbose": 0}
    logs = trainer.fit(X, Y, sample_weight=weights, **options).history
    np.testing.assert_allclose(logs["loss"], [np.mean(squares * weights)], rtol=1e-5)
    with pytest.warns(UserWarning, match="'squares' was exactly 0"):
        logs = trainer.fit(X, Y, sample_weight=np.zeros(4), **options).history
    assert logs["loss"] == [0.0]


def test_several_outputs():
    inputs = keras.Input((1,))
    outputs = {n: keras.layers.Dense(1, name=n)(inputs) for n in ("left", "right")}
    trainer = Plain(keras.Model(inputs, outputs))
    trainer.compile(
        keras.optimizers.SGD(0.0), {"left": "mse", "right": "mae"}, {"left": 1.0, "right": 2.0}
    )
    labels = {"left": Y, "right": -Y}
    logs = trainer.fit(X, labels, batch_size=2, shuffle=False, verbose=0).history
    total = logs["left_loss"][0] + 2.0 * logs["right_loss"][0]
    np.testing.assert_allclose(logs["loss"], [total], rtol=1e-5)
    np.testing.assert_allclose(logs["task_loss"], [total], rtol=1e-5)


def test_means_start_anew_each_epoch_and_are_no_part_of_evaluate():
    trainer = rivals({"first": keras.optimizers.SGD(0.0), "second": keras.optimizers.SGD(0.0)})
    options = {"batch_size": 3, "epochs": 2, "shuffle": False, "verbose": 0}
    logs = trainer.fit(X, Y, validation_data=(X[:2], Y[:2]), **options).history
    for name, (first, second) in logs.items():
        assert first == pytest.approx(second), name
    evaluated = trainer.evaluate(X, Y, verbose=0, return_dict=True)
    assert set(evaluated) == {"loss"}
    assert {n for n in logs if n.startswith("val_")} == {"val_loss"}
    np.testing.assert_allclose(evaluated["loss"], np.mean((0.5 * X - Y) ** 2), rtol=1e-5)
    # Four samples in batches of three and one: the mean is that of samples, not of batches.
    np.testing.assert_allclose(logs["first_task_loss"][0], evaluated["loss"], rtol=1e-5)


def test_terms_follow_compile():
    trainer = Plain(small(), per_sample=True)
    trainer.compile("sgd", "mse")
    assert "squares" in trainer.fit(X, Y, verbose=0).history
    trainer.per_sample = False
    trainer.compile("sgd", "mse")
    assert set(trainer.fit(X, Y, verbose=0).history) == {"loss", "task_loss"}


def test_nothing_to_train():
    trainer = Plain(small())
    trainer.model.trainable = False
    trainer.compile("sgd", "mse")
    with pytest.raises(Exception, match="nothing to train"):
        trainer.fit(X, Y, verbose=0)


def test_frozen_models_travel_with_the_state_only():
    trainer = distiller()
    teacher, known = trainer.teacher, {id(v) for v in trainer.non_trainable_variables}
    assert all(id(v) in known for v in teacher.variables)
    assert not {id(v) for v in teacher.variables} & {id(v) for v in trainer.variables}
    assert len(known) == len(trainer.non_trainable_variables)


def test_seed_generators_are_saved(tmp_path):
    x, y = images()
    trainer = distiller()
    trainer.fit(x, y, verbose=0)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    states = [values(t.student.get_layer("dropout").variables) for t in (trainer, loaded)]
    assert len(states[0]) == 1
    assert equal(*states)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch runs one step at a time")
def test_steps_per_execution_and_jit():
    x, y = images(12)
    found = []
    for options in ({}, {"steps_per_execution": 2}, {"jit_compile": True}):
        keras.utils.set_random_seed(0)
        # Without dropout: XLA draws other noise. With SGD: Adam magnifies rounding errors.
        models = {name: classifier(name) for name in ("student", "teacher")}
        sgd = keras.optimizers.SGD(0.1)
        trainer = distiller(**models, optimizer=sgd, run_eagerly=False, **options)
        trainer.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        found.append(values(trainer.trainable_variables))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
