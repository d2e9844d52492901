"""From what a loss returns to the scalar that is summed."""

import keras
from keras import ops


def reduce_term(value, sample_weight):
    """Mean over the batch of a term with one value per sample; a scalar stays as it is.

    As in Keras, the weighted values are divided by the size of the batch, not by the
    sum of the weights.
    """
    value = ops.convert_to_tensor(value)
    value = ops.cast(value, keras.backend.result_type(value.dtype, "float32"))
    if len(value.shape) == 0:
        return value
    value = _mean_per_sample(value)
    weights = sample_weights(sample_weight)
    return ops.mean(value if weights is None else value * ops.cast(weights, value.dtype))


def sample_weights(sample_weight):
    """One weight per sample: the mean over steps, and over the outputs of a model with several."""
    given = [w for w in keras.tree.flatten(sample_weight) if w is not None]
    if not given:
        return None
    weights = [_mean_per_sample(ops.cast(w, "float32")) for w in given]
    return weights[0] if len(weights) == 1 else ops.mean(ops.stack(weights), axis=0)


def regularization(trainer, update):
    """What the forward pass of an update added, and the regularisers of its variables.

    Keras lists the losses of `add_loss` first and those of regularisers last.
    """
    weighted = [w for w in trainer.trainable_weights if w.regularizer is not None]
    added = trainer.losses[: len(trainer.losses) - len(weighted)]
    own = [v.regularizer(v) for v in update.variables if v.regularizer is not None]
    losses = [reduce_term(ops.sum(loss), None) for loss in (*added, *own)]
    return {"regularization": sum(losses)} if losses else {}


def batch_size(x):
    """Samples in the batch."""
    return ops.shape(next(t for t in keras.tree.flatten(x) if t is not None))[0]


def _mean_per_sample(value):
    axes = tuple(range(1, len(value.shape)))
    return ops.mean(value, axis=axes) if axes else value
