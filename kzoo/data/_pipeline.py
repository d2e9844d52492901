"""The same batches as a `tf.data.Dataset`."""

import functools

import numpy as np


def pipeline(sequence):
    """A `tf.data.Dataset` that hands out one epoch of a `Sequence` each time it is iterated."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "`pipeline` needs TensorFlow, which is not installed. Use `sequence` with the same "
            "arguments: it gives the same batches on any backend."
        ) from error
    batches = sequence.batches
    template = batches.template()
    columns = tf.nest.flatten(template)
    dtypes = [tf.as_dtype(column.dtype) for column in columns]

    # Not `from_generator`: it has the allocator give memory back to the system at once
    # (`M_TRIM_THRESHOLD`), and a training step on the CPU then takes twice as long.
    def epoch(_):
        number = tf.numpy_function(lambda: np.int64(sequence.epoch), [], tf.int64)
        return tf.data.Dataset.range(batches.steps).map(functools.partial(batch, number))

    def batch(epoch, index):
        arrays = tf.numpy_function(fetch, [epoch, index], dtypes)
        shaped = [
            tf.ensure_shape(array, (batches.rows, *column.shape[1:]))
            for array, column in zip(arrays, columns, strict=True)
        ]
        return tf.nest.pack_sequence_as(template, shaped)

    def fetch(epoch, index):
        return tf.nest.flatten(sequence.hand_out(int(epoch), int(index)))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(epoch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches.steps))
    # Fetched ahead, a short epoch would be over when one batch was only looked at.
    return dataset.prefetch(2) if batches.steps > 4 else dataset
