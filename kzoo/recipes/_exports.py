"""Export the classifier of a run in every format of its recipe."""

import keras

from kzoo import export
from kzoo.recipes import files

_PROBE_IMAGES = 8


def write(load, images, formats, out, console):
    """Export and verify; returns path, bytes and largest error of each format.

    Args:
        load: returns the trained classifier; called on TensorFlow alone.
        images: the first few are what exported and original are compared on.
        formats: names, see `kzoo.export.export_model`.
        out: the run's folder.
        console: where progress is shown.
    """
    if keras.backend.backend() != "tensorflow":
        console.print(
            f"Nothing is exported: that needs TensorFlow. There: kzoo export {out} FOLDER"
        )
        return {}
    model, images, reports = load(), images[:_PROBE_IMAGES], {}
    for name in formats:
        suffix = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}[name]
        path = out / files.EXPORTS / f"{name}{suffix}"
        done = export.export_model(model, path, format=name, samples=images, overwrite=True)
        reports[name] = {
            "path": str(path.relative_to(out)),
            "bytes": done.bytes,
            "max_error": float(done.max_error),
        }
        if name == "saved_model":
            expected = model.predict(images, verbose=0)
            reports[name]["fresh_process_error"] = export.check_in_fresh_process(
                path, images, expected
            )
        console.print(f"Exported {name} to {path}")
    return reports
