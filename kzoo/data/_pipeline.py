"""The same batches as a `tf.data.Dataset`."""


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
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(sequence),
        output_signature=(
            tf.TensorSpec((size, *batches.image_shape), tf.float32),
            tf.TensorSpec((size,), tf.int64),
        ),
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches.steps))
    # Fetched ahead, a short epoch would be over when one batch was only looked at.
    return dataset.prefetch(2) if batches.steps > 4 else dataset
