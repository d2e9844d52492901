import importlib.util

import keras
import numpy as np
import pytest

from kzoo import export


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()], name="tiny")


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
def test_other_backends_are_told_what_to_do(model, tmp_path, monkeypatch, format):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    suffix = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}[format]
    path = tmp_path / f"m{suffix}"
    command = f"KERAS_BACKEND=tensorflow kzoo export model.keras {path} --format {format}"
    with pytest.raises(ValueError, match=f"Active: jax. Save with .* run {command}"):
        export.export_model(model, path, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("m", {"format": "savedmodel"}, "Unknown format: 'savedmodel'. Did you mean 'saved_model'"),
        ("m.tf", {"format": "litert"}, "`path` must end in '.tflite' for litert. Received: .*m.tf"),
        ("m.tflite", {"format": "onnx"}, "`path` must end in '.onnx'"),
        ("m.onnx", {"format": "onnx", "version": 1}, "goes with a SavedModel only"),
        ("m", {"version": -1}, "`version` must be a number from 0 on"),
        ("m", {"quantize": "int8"}, 'SavedModel is not quantized.*Use format="litert"'),
        ("m.tflite", {"format": "litert", "quantize": "int4"}, "Received: quantize='int4'"),
        (
            "m.tflite",
            {"format": "litert", "quantize": "int8"},
            "`representative_data` is needed to quantize",
        ),
        (
            "m.tflite",
            {"format": "litert", "quantize": "int8", "representative_data": []},
            r"`representative_data` must be an array of shape \('images', 4, 4, 1\)",
        ),
        (
            "m",
            {"samples": np.zeros((2, 4, 5, 1))},
            r"`samples` must be an array of shape \('images', 4, 4, 1\). .*\(2, 4, 5, 1\)",
        ),
        ("m", {"samples": np.zeros((0, 4, 4, 1))}, "Received: shape"),
    ],
)
def test_wrong_arguments_are_refused(model, tmp_path, monkeypatch, name, options, text):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match=text):
        export.export_model(model, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_onnx_says_which_packages_it_needs(model, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    needed = r"needs tf2onnx, onnx, onnxruntime. .* pip install 'kzoo\[onnx\]'"
    with pytest.raises(ImportError, match=needed):
        export.export_model(model, tmp_path / "m.onnx", "onnx")


def test_models_that_cannot_be_verified_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    free = keras.Sequential([keras.Input((None, 4, 1)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match=r"`samples` is needed .* \(None, 4, 1\)"):
        export.export_model(free, tmp_path / "m")
    with pytest.raises(ValueError, match="is not built"):
        export.export_model(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "m")
    inputs = [keras.Input((2,), name="a"), keras.Input((2,), name="b")]
    double = keras.Model(inputs, keras.layers.Add()(inputs), name="double")
    with pytest.raises(ValueError, match="'double' has 2"):
        export.export_model(double, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_refused_before_any_work(model, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(keras.Model, "predict", None)
    (tmp_path / "m.tflite").touch()
    with pytest.raises(FileExistsError, match="exists already"):
        export.export_model(model, tmp_path / "m.tflite", "litert")


def test_a_report_is_one_line(tmp_path):
    report = export.ExportReport(
        format="litert",
        path=tmp_path / "m.tflite",
        bytes=12345,
        seconds=1.26,
        samples=64,
        max_error=0.02,
        mean_error=0.001,
        agreement=0.984,
        quantize="int8",
        note="Exported in float32",
    )
    assert str(report) == (
        f"litert (int8): {tmp_path}/m.tflite, 12,345 bytes, verified on 64 images: same class "
        "98.4%, mean difference 0.001, largest difference 0.02 (1.3 s). Exported in float32"
    )
