"""The training step under torch."""

import contextlib

import keras

# Eager: means are made when their names come up.
DISCOVER = False


def create():
    """Variables may be made anywhere."""
    return contextlib.nullcontext()


def no_gradients():
    """Do not record the graph of a frozen model."""
    import torch

    return torch.no_grad()


def replicas():
    """One: Keras has no replicas under torch."""
    return 1


def strategy_scope(trainer):
    """Keras has no replicas under torch."""
    return contextlib.nullcontext()


def train_step(trainer, data):
    """One batch: each update differentiates its own loss."""
    import torch

    batch = keras.utils.unpack_x_y_sample_weight(data)
    trainer.ensure_built(batch[0])
    prediction, total = None, 0.0
    for update in trainer.updates():
        y_pred, loss = trainer.run_update(update, *batch)
        scaled = trainer.optimizer.scale_loss(loss)
        values = [v.value for v in update.variables]
        gradients = torch.autograd.grad(scaled, values, allow_unused=True)
        with torch.no_grad():
            trainer.optimizer.apply(list(gradients), list(update.variables))
        prediction = y_pred if prediction is None else prediction
        total = total + loss.detach()
    with torch.no_grad():
        return trainer.log_step(*batch, y_pred=prediction, loss=total)


def test_step(trainer, data):
    """One batch of `evaluate`."""
    logs = trainer.without_terms(keras.Model.test_step(trainer, data))
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    return {**logs, **trainer.measure_batch(x, y)}
