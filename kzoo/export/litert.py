"""LiteRT (TensorFlow Lite): one file for phones and small boards, float32 or int8."""

import importlib.util
import re
import warnings

import numpy as np

SUFFIX = ".tflite"


def check(quantize):
    """Refuse options that the format has not."""
    if quantize not in (None, "int8"):
        raise ValueError(f'`quantize` must be None or "int8". Received: quantize={quantize!r}')


def write(model, file, signature=None, images=None):
    """Write the file with LiteRT's own operations only.

    Operations of TensorFlow ("flex") are not allowed: the common runtimes have
    none, so that a file with them could not be verified here nor run there.

    Args:
        model: the model.
        file: where to write.
        signature: input signature; inferred by default.
        images: images that calibrate an int8 file; a float32 file without.
    """
    import tensorflow as tf

    operations = [tf.lite.OpsSet.TFLITE_BUILTINS]
    options = {}
    if images is not None:
        operations.insert(0, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
        options = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([image[None]] for image in images),
        }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        try:
            model.export(
                str(file),
                format="litert",
                verbose=False,
                input_signature=signature,
                target_spec={"supported_ops": operations},
                **options,
            )
        except Exception as error:  # the converter's class of errors is not public
            foreign = set(re.findall(r"'tf\.(\w+)' op is neither a custom", str(error)))
            if not foreign:
                raise
            raise ValueError(
                f"LiteRT has no operation for TensorFlow's {', '.join(sorted(foreign))}"
            ) from error


def run(file, batches):
    """Outputs of the written file, a list for each batch."""
    runner = _interpreter(file).get_signature_runner()
    (name,) = runner.get_input_details()
    results = (runner(**{name: np.asarray(batch)}) for batch in batches)
    return [[result[key] for key in sorted(result)] for result in results]


def _interpreter(file):
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(file))
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        return tf.lite.Interpreter(str(file))
