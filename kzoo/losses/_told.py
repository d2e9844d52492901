"""Labels and sample indices that a loss is told, checked at the door."""

import keras
from keras import ops


def told_integers(loss, batch, argument, values):
    """One int32 for each sample, from integers `(batch,)` or `(batch, 1)`.

    Args:
        loss: name of the loss, for the message.
        batch: number of samples, `None` where it is not known.
        argument: `"labels"` or `"sample_index"`.
        values: what was given.
    """
    if values is None:
        raise ValueError(
            f"{loss} needs `{argument}`, an integer for each sample. Received: {argument}=None"
        )
    values = ops.convert_to_tensor(values)
    kind, shape = keras.backend.standardize_dtype(values.dtype), tuple(values.shape)
    good = "int" in kind and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))
    if not good or (None not in (shape[0], batch) and shape[0] != batch):
        raise ValueError(
            f"{loss} needs `{argument}` as integers of shape ({batch or 'batch'},), or with an "
            f"axis of 1 after it. Received: {kind} of shape {shape}"
            + (". Turn one-hot labels into classes: labels.argmax(-1)" if len(shape) == 2 else "")
        )
    return ops.reshape(ops.cast(values, "int32"), (-1,))
