"""The same batches as a `tf.data.Dataset`."""

import functools

import numpy as np


def pipeline(sequence, batches):
    """A `tf.data.Dataset` that hands out one epoch of a `Sequence` each time it is iterated."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "`pipeline` needs TensorFlow, which is not installed. Use `sequence` with the same "
            "arguments: it gives the same batches on any backend."
        ) from error
    size = batches.batch_size if batches.full else None

    # Not `from_generator`: it has the allocator give memory back to the system at once
    # (`M_TRIM_THRESHOLD`), and a training step on the CPU then takes twice as long.
    def epoch(_):
        number = tf.numpy_function(lambda: np.int64(sequence.epoch), [], tf.int64)
        return tf.data.Dataset.range(batches.steps).map(functools.partial(batch, number))

    def batch(epoch, index):
        images, labels = tf.numpy_function(fetch, [epoch, index], [tf.float32, tf.int64])
        return tf.ensure_shape(images, (size, *batches.image_shape)), tf.ensure_shape(
            labels, (size,)
        )

    def fetch(epoch, index):
        return sequence.hand_out(int(epoch), int(index))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(epoch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches.steps))
    # Fetched ahead, a short epoch would be over when one batch was only looked at.
    return dataset.prefetch(2) if batches.steps > 4 else dataset
