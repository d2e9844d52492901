"""Convert, verify, and only then put in place."""

import pathlib
import time
from typing import Any

import keras
import numpy as np

from kzoo import registry
from kzoo.export import _compare, _float32, _images, _place, litert, onnx, saved_model
from kzoo.export._report import ExportReport

_FORMATS = {"saved_model": saved_model, "litert": litert, "onnx": onnx}


def export_model(
    model: keras.Model,
    path: str | pathlib.Path,
    format: str = "saved_model",
    *,
    quantize: str | None = None,
    representative_data: Any = None,
    samples: Any = None,
    tolerance: float = 1e-5,
    min_agreement: float = 0.9,
    version: int | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export a model for inference and verify the file before it is put in place.

    Use it instead of `model.export(...)` where a wrong file must not reach a user:
    the exported file is run on images, one and several at a time, and compared with
    `model.predict`. Where it differs, or where anything fails, nothing is written.

    - `"saved_model"`: a folder with the signatures `serve` and `serving_default`.
      It needs neither kzoo nor Keras to be loaded.
    - `"litert"`: a `.tflite` file, float32 or, with `quantize="int8"`, weights and
      activations of 8 bits between float32 inputs and outputs. It holds LiteRT's
      own operations only.
    - `"onnx"`: a `.onnx` file; needs `pip install 'kzoo[onnx]'`.

    The batch size stays free. Models in half precision become float32 in LiteRT and
    ONNX, with the same weights; the report says by how much the outputs change.

    Args:
        model: a built Keras model with one input.
        path: the folder (`"saved_model"`) or file.
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        quantize: `None` or, for LiteRT, `"int8"`.
        representative_data: for int8, the images that calibrate the activations:
            an array, or an iterable of batches (the first 256 images serve).
        samples: images for the verification. Random ones by default; for int8, those
            of `representative_data`.
        tolerance: largest error allowed, absolute, or relative to the largest output
            where that is above 1. Not used for int8.
        min_agreement: for int8: smallest share of samples that must have the same
            class first as in the model.
        version: puts a SavedModel at `<path>/<version>`, where TensorFlow Serving
            looks for it.
        overwrite: whether to replace an earlier export.

    Returns:
        What was written and its errors.

    Raises:
        ValueError: for wrong arguments, a model that the format cannot hold, and a
            file that is not near enough to the model. The message has the reason.
        ImportError: where ONNX's packages are missing.
        OSError: where something is at `path` already or it cannot be written.

    Example:

    ```python
    import keras
    from kzoo import export

    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    report = export.export_model(model, "example")
    print(report)
    ```
    """
    started = time.perf_counter()
    writer = _writer(path, format, quantize, version)
    target = pathlib.Path(path).expanduser() / ("" if version is None else str(version))
    options = {}
    if quantize is not None:
        options["images"] = _images.calibration(model, representative_data)
        samples = options["images"] if samples is None else samples
    samples = _images.verification(model, samples)
    options["signature"] = _signature(model, samples)
    _place.check_free(target, overwrite=overwrite)
    exact, expected, note = _reference(model, samples, format)
    with _place.place(target, overwrite=overwrite) as temporary:
        batches = [batch for batch in (samples[:1], samples[1:]) if len(batch)]
        found = _convert(writer, exact, temporary, options, batches, expected, format)
        _refuse(found, model, format, quantize, tolerance, min_agreement)
        size = sum(f.stat().st_size for f in (temporary, *temporary.rglob("*")) if f.is_file())
    return ExportReport(
        format=format,
        path=target,
        bytes=size,
        seconds=time.perf_counter() - started,
        samples=len(samples),
        max_error=found.max_error,
        mean_error=found.mean_error,
        agreement=None if quantize is None else found.agreement,
        quantize=quantize,
        note=note,
    )


def _writer(path, format, quantize, version):
    """The module of the format, after the arguments were checked."""
    if format not in _FORMATS:
        raise ValueError(f"Unknown format: {format!r}. {registry.suggest(format, _FORMATS)}")
    writer = _FORMATS[format]
    if pathlib.Path(path).suffix != writer.SUFFIX and writer.SUFFIX:
        raise ValueError(f"`path` must end in {writer.SUFFIX!r} for {format}. Received: {path}")
    if version is not None and (format != "saved_model" or version < 0):
        raise ValueError(
            "`version` must be a number from 0 on, and goes with a SavedModel only. "
            f"Received: version={version}, format={format!r}"
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Export needs the TensorFlow backend, for every format. Active: "
            f"{keras.backend.backend()}. Save with model.save('model.keras') and run "
            f"KERAS_BACKEND=tensorflow kzoo export model.keras {path} --format {format}"
        )
    writer.check(quantize)
    return writer


def _signature(model, samples):
    if getattr(model, "inputs", None):
        return None
    return [keras.layers.InputSpec(shape=(None, *samples.shape[1:]), dtype=str(samples.dtype))]


def _reference(model, samples, format):
    """`(model to convert, its outputs, note)`: in float32, but for a SavedModel."""
    outputs = model.predict(samples, verbose=0)
    if not all(np.all(np.isfinite(output)) for output in _compare.flatten(outputs)):
        raise ValueError(f"{model.name!r} gives NaN or infinity on the samples: not exported.")
    exact = model if format == "saved_model" else _float32.in_float32(model)
    if exact is model:
        return model, outputs, ""
    expected = exact.predict(samples, verbose=0)
    change = _compare.compare([expected], outputs).max_error
    return exact, expected, f"Exported in float32: the model's half precision differs {change:.2g}"


def _convert(writer, model, file, options, batches, expected, format):
    """Write the file, run it, and compare."""
    try:
        writer.write(model, file, **options)
        return _compare.compare(writer.run(file, batches), expected)
    except OSError as error:
        raise OSError(
            f"Cannot write {file.name} into {file.parent.parent} ({error.strerror or error}). "
            "Choose a folder that can be written and has room."
        ) from error
    except Exception as error:  # converters and engines raise errors of many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{model.name!r} cannot be exported as {format}: {reason}. Nothing was written."
        ) from error


def _refuse(found, model, format, quantize, tolerance, min_agreement):
    if quantize is None and not found.max_error <= tolerance:
        raise ValueError(
            f"The {format} file of {model.name!r} differs from the model by {found.max_error:.3g}, "
            f"more than tolerance={tolerance:g}. Nothing was written. Export another format, or "
            "allow the difference with `tolerance`."
        )
    if quantize is not None and not found.agreement >= min_agreement:
        raise ValueError(
            f"The {quantize} file of {model.name!r} gives the model's class for "
            f"{found.agreement:.1%} of the samples only, less than min_agreement={min_agreement:g} "
            f"(mean error {found.mean_error:.3g}). Nothing was written. Calibrate with more "
            "`representative_data`, or export in float."
        )
