"""The training step under JAX: a pure function of the state."""

import contextlib
import warnings

import keras

# The state is a fixed list of arrays: the means must exist before the first step.
DISCOVER = True


def create():
    """Variables are never made within a step."""
    return contextlib.nullcontext()


def no_gradients():
    """JAX differentiates by the given values only."""
    return contextlib.nullcontext()


def replicas():
    """One: JAX shards the batch, the loss is already global."""
    return 1


def strategy_scope(trainer):
    """JAX has no replicas of models."""
    return contextlib.nullcontext()


def train_step(trainer, state, data):
    """One batch: each update maps the state to the next."""
    batch = keras.utils.unpack_x_y_sample_weight(data)
    prediction, total = None, 0.0
    for update in trainer.updates():
        y_pred, loss, state = _apply(trainer, update, state, batch)
        prediction = y_pred if prediction is None else prediction
        total = total + loss
    with _scope(trainer, state) as scope:
        logs = trainer.log_step(*batch, y_pred=prediction, loss=total)
    metrics = _values(scope, trainer.metrics_variables, state[3])
    return logs, (*state[:3], metrics)


def test_step(trainer, state, data):
    """One batch of `evaluate`."""
    logs, state = keras.Model.test_step(trainer, state, data)
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    trainable, non_trainable, metrics = state
    with _scope(trainer, (trainable, non_trainable, (), metrics)) as scope:
        found = trainer.measure_batch(x, y)
    metrics = _values(scope, trainer.metrics_variables, metrics)
    return {**trainer.without_terms(logs), **found}, (trainable, non_trainable, metrics)


def _apply(trainer, update, state, batch):
    import jax

    trainable, non_trainable, optimizer_variables, metrics = state
    position = {id(v): i for i, v in enumerate(trainer.trainable_variables)}
    places = [position[id(v)] for v in update.variables]

    def loss_of(values):
        current = list(trainable)
        for place, value in zip(places, values, strict=True):
            current[place] = value
        now = (current, non_trainable, optimizer_variables, metrics)
        with _scope(trainer, now) as scope:
            y_pred, loss = trainer.run_update(update, *batch)
            scaled = trainer.optimizer.scale_loss(loss)
        after = _values(scope, trainer.non_trainable_variables, non_trainable)
        means = _values(scope, trainer.metrics_variables, metrics)
        return scaled, (y_pred, loss, after, means)

    values = [trainable[place] for place in places]
    (_, (y_pred, loss, non_trainable, metrics)), found = jax.value_and_grad(loss_of, has_aux=True)(
        values
    )
    gradients = [None] * len(trainable)
    for place, gradient in zip(places, found, strict=True):
        gradients[place] = gradient
    with warnings.catch_warnings():
        # A gradient is missing only for the variables that this update does not move.
        warnings.filterwarnings("ignore", message="Gradients do not exist")
        trainable, optimizer_variables = trainer.optimizer.stateless_apply(
            optimizer_variables, gradients, trainable
        )
    return y_pred, loss, (trainable, non_trainable, optimizer_variables, metrics)


def _scope(trainer, state):
    optimizer_variables = trainer.optimizer.variables if state[2] else ()
    variables = (
        trainer.trainable_variables,
        trainer.non_trainable_variables,
        optimizer_variables,
        trainer.metrics_variables,
    )
    mapping = [
        pair for v, s in zip(variables, state, strict=True) for pair in zip(v, s, strict=True)
    ]
    return keras.StatelessScope(state_mapping=mapping, collect_losses=True)


def _values(scope, variables, before):
    current = [scope.get_current_value(v) for v in variables]
    return [old if new is None else new for old, new in zip(before, current, strict=True)]
