"""Whether a callback can set the learning rate of each batch."""

import keras


def known_steps(steps):
    """The number of steps of an epoch; refuse an unknown one."""
    if not steps:
        raise ValueError(
            "The number of steps of an epoch must be known to divide the training into cycles. "
            f"Received: steps={steps}. Give fit `steps_per_epoch`, or data of known length."
        )
    return steps


def check_can_be_set(model):
    """Refuse compiled models of which the rate of a batch cannot be set."""
    if model.steps_per_execution != 1:
        raise ValueError(
            "The learning rate is set for each batch, so batches must not run in groups. "
            f"Received: steps_per_execution={model.steps_per_execution}. Compile with "
            "steps_per_execution=1."
        )
    for optimizer in _parts(model.optimizer):
        if not isinstance(optimizer._learning_rate, keras.Variable):
            raise ValueError(
                "The learning rate is set for each batch, so that of the optimiser must be a "
                f"number. Received: {optimizer.name!r} with a "
                f"{type(optimizer._learning_rate).__name__}. Compile with a number, such as "
                "keras.optimizers.SGD(0.1)."
            )


def _parts(optimizer):
    """The optimisers within one that scales the loss or has several players."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return _parts(optimizer.inner_optimizer)
    if "players" in dir(optimizer):
        return [optimizer[player] for player in optimizer.players]
    return [optimizer]
