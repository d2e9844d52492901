"""ONNX: one file for onnxruntime and most other engines."""

import contextlib
import importlib.util
import warnings

SUFFIX = ".onnx"
_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def check(quantize):
    """Refuse options that the format has not, and a machine without the packages."""
    if quantize is not None:
        raise ValueError(
            f"ONNX files are not quantized; LiteRT is. Received: quantize={quantize!r}. "
            'Use format="litert".'
        )
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"ONNX export needs {', '.join(missing)}. Install it with: pip install 'kzoo[onnx]'"
        )


def write(model, file, signature=None):
    """Write the file, with the default operator set of the converter."""
    with _inlined_functions(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*`np.object`", category=FutureWarning)
        model.export(str(file), format="onnx", verbose=False, input_signature=signature)


def run(file, batches):
    """Outputs of the written file, a list for each batch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: batch}) for batch in batches]


@contextlib.contextmanager
def _inlined_functions():
    """Trace inner functions as part of the whole.

    Keras puts a grouped convolution into a compiled function of its own, which the
    converter does not know; it would write a file that no engine can load.
    """
    import tensorflow as tf

    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eager)
