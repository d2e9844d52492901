"""The training step under TensorFlow."""

import contextlib

import keras
from keras import ops

# Under a distribution strategy Keras traces the model before it trains, and the
# variables of the means must exist by then.
DISCOVER = True


def create():
    """The scope in which variables may be made while a step is being traced."""
    import tensorflow as tf

    return tf.init_scope()


def no_gradients():
    """TensorFlow stops gradients by `stop_gradient` alone."""
    return contextlib.nullcontext()


def replicas():
    """Over how many replicas Keras has divided a compiled loss."""
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def strategy_scope(trainer):
    """That of the trainer's distribution strategy."""
    return trainer.distribute_strategy.scope()


def train_step(trainer, data):
    """One batch: each update with its own tape."""
    import tensorflow as tf

    batch = keras.utils.unpack_x_y_sample_weight(data)
    trainer.ensure_built(batch[0])
    prediction, losses = None, []
    for update in trainer.updates():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in update.variables])
            y_pred, loss = trainer.run_update(update, *batch)
            scaled = trainer.optimizer.scale_loss(loss / replicas())
        gradients = tape.gradient(scaled, [v.value for v in update.variables])
        trainer.optimizer.apply(gradients, list(update.variables))
        prediction = y_pred if prediction is None else prediction
        losses.append(loss)
    return trainer.log_step(*batch, y_pred=prediction, loss=ops.sum(ops.stack(losses)))


def test_step(trainer, data):
    """One batch of `evaluate`."""
    logs = trainer.without_terms(keras.Model.test_step(trainer, data))
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    return {**logs, **trainer.measure_batch(x, y)}
