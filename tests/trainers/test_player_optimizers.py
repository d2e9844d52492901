import keras
import numpy as np
import pytest

from kzoo.trainers import PlayerOptimizers
from tests.trainers.models import rivals
from tests.trainers.test_trainer import X, Y


def rates(optimizer):
    return [float(optimizer[name].learning_rate) for name in optimizer.players]


def test_setting_the_learning_rate_keeps_the_ratios():
    optimizer = PlayerOptimizers({"a": keras.optimizers.SGD(0.1), "b": keras.optimizers.Adam(0.02)})
    optimizer.learning_rate = 0.01
    np.testing.assert_allclose(rates(optimizer), [0.01, 0.002], rtol=1e-6)
    optimizer.learning_rate = 0.0
    optimizer.learning_rate = 0.5
    np.testing.assert_allclose(rates(optimizer), [0.5, 0.1], rtol=1e-6)
    optimizer["b"].learning_rate = 0.3
    np.testing.assert_allclose(rates(optimizer), [0.5, 0.3], rtol=1e-6)


def test_keras_callbacks_schedule_it():
    trainer = rivals()
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.2 / (1 + epoch))
    history = trainer.fit(X, Y, epochs=2, verbose=0, callbacks=[schedule]).history
    np.testing.assert_allclose(history["learning_rate"], [0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(rates(trainer.optimizer), [0.1, 0.05], rtol=1e-6)


def test_schedules_of_the_players_run_on_their_own_steps():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.0])
    players = {"first": keras.optimizers.SGD(schedule), "second": keras.optimizers.SGD(0.05)}
    trainer = rivals(players)
    trainer.fit(X, Y, batch_size=4, epochs=1, verbose=0)
    after_one = float(trainer.first.weights[0].numpy()[0, 0])
    trainer.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert after_one != 0.5
    assert float(trainer.first.weights[0].numpy()[0, 0]) == after_one
    assert float(trainer.second.weights[0].numpy()[0, 0]) != -1.0


def test_config_round_trip():
    optimizer = PlayerOptimizers(
        {"b": keras.optimizers.SGD(0.1, momentum=0.9), "a": "adam"}, name="both"
    )
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.players == ["b", "a"]
    assert again.get_config() == optimizer.get_config()


def test_the_variables_are_the_union():
    trainer = rivals({"first": keras.optimizers.Adam(0.1), "second": keras.optimizers.SGD(0.1)})
    trainer.fit(X, Y, batch_size=2, epochs=1, verbose=0)
    optimizer = trainer.optimizer
    parts = [v for name in optimizer.players for v in optimizer[name].variables]
    assert [id(v) for v in optimizer.variables] == [id(v) for v in parts]
    assert int(optimizer.iterations) == int(optimizer["second"].iterations) == 2


def test_bad_players():
    sgd = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="at least one player"):
        PlayerOptimizers({})
    with pytest.raises(ValueError, match="one object for several"):
        PlayerOptimizers({"a": sgd, "b": sgd})
    with pytest.raises(ValueError, match="Wrap the whole"):
        PlayerOptimizers({"a": keras.optimizers.LossScaleOptimizer(sgd)})
    with pytest.raises(ValueError, match="Wrap the whole"):
        PlayerOptimizers({"a": keras.optimizers.SGD(0.1, loss_scale_factor=2.0)})


def test_plain_models_do_not_take_it():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(PlayerOptimizers({"a": "sgd"}), "mse")
    with pytest.raises(ValueError, match="Compile a kzoo Trainer with it"):
        model.fit(X, Y, verbose=0)
