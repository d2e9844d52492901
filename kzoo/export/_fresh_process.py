"""Run a SavedModel where there is no kzoo."""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from kzoo.export import _compare

_PROGRAM = """
import sys
sys.modules["kzoo"] = None
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
outputs = tf.nest.flatten(loaded.serve(tf.constant(np.load(sys.argv[2]))))
np.savez(sys.argv[3], *[output.numpy() for output in outputs])
"""


def check_in_fresh_process(path, samples, expected, *, timeout: float = 600) -> float:
    """Load a SavedModel in a new Python process that has TensorFlow and no kzoo.

    Use it to be sure that what is served needs none of this package's code.

    Args:
        path: the folder of the SavedModel.
        samples: images, as the model takes them.
        expected: outputs of the model for these images.
        timeout: seconds to wait.

    Returns:
        The largest difference, as in `ExportReport.max_error`.

    Raises:
        ValueError: where the process fails.

    Example:

    ```python
    import keras
    import numpy as np
    from kzoo import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.export_model(model, "served")
    images = np.ones((3, 4), "float32")
    assert export.check_in_fresh_process("served", images, model.predict(images)) < 1e-5
    ```
    """
    with tempfile.TemporaryDirectory() as folder:
        given, result = pathlib.Path(folder) / "samples.npy", pathlib.Path(folder) / "outputs.npz"
        np.save(given, samples)
        command = [
            sys.executable,
            "-I",
            "-c",
            _PROGRAM,
            pathlib.Path(path).resolve(),
            given,
            result,
        ]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"{path} cannot be run without kzoo: {reason}. Export it again.")
        with np.load(result) as stored:
            outputs = [stored[key] for key in stored.files]
    return _compare.compare([outputs], expected).max_error
