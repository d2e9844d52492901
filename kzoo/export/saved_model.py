"""TensorFlow SavedModel: what TensorFlow Serving loads."""

SUFFIX = ""


def check(quantize):
    """Refuse options that the format has not."""
    if quantize is not None:
        raise ValueError(
            f"A SavedModel is not quantized; LiteRT is. Received: quantize={quantize!r}. "
            'Use format="litert".'
        )


def write(model, file, signature=None):
    """Write the folder, with the signatures `serve` and `serving_default`."""
    model.export(str(file), format="tf_saved_model", verbose=False, input_signature=signature)


def run(file, batches):
    """Outputs of the written folder, a structure for each batch."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(file))
    return [loaded.serve(tf.constant(batch)) for batch in batches]
