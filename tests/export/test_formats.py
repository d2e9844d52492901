import warnings

import keras
import numpy as np
import pytest
from keras import ops

import kzoo.layers
from kzoo import export
from kzoo.export import _fresh_process, litert, onnx, saved_model
from tests.examples import run_example
from tests.helpers import random_array

pytestmark = pytest.mark.tensorflow

SUFFIX = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}
FORMATS = list(SUFFIX)


def quadrants(count, seed=0):
    """Images of 8x6 with one bright quadrant, which is the label."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    images = random.normal(0, 0.3, (count, 8, 6, 1)).astype("float32")
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 3 * (label % 2)
        image[row : row + 4, column : column + 3] += 1
    return images, labels


def network(dtype="float32"):
    layers = keras.layers
    image = keras.Input((8, 6, 1), name="image")
    x = layers.Conv2D(8, 3, padding="same", dtype=dtype, name="first")(image)
    x = layers.BatchNormalization(dtype=dtype, name="norm")(x)
    x = layers.ReLU(dtype=dtype, name="relu")(x)
    x = layers.Conv2D(8, 3, padding="same", groups=2, dtype=dtype, name="grouped")(x)
    x = layers.Dropout(0.2, dtype=dtype, name="drop")(x)
    x = layers.Flatten(dtype=dtype, name="flat")(x)
    x = layers.Dense(4, dtype="float32", name="logits")(x)
    x = layers.Softmax(dtype="float32", name="predictions")(x)
    return keras.Model(image, x, name="quadrants")


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = network()
    images, labels = quadrants(256)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=4, verbose=0)
    return model


def run_savedmodel(path, images):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == {"serve", "serving_default"}
    (output,) = loaded.signatures["serving_default"](tf.constant(images)).values()
    return output.numpy()


def run_litert(path, images):
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(str(path))
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def run_onnx(path, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


RUN = {"saved_model": run_savedmodel, "litert": run_litert, "onnx": run_onnx}


@pytest.mark.parametrize("format", FORMATS)
def test_the_file_gives_the_models_outputs_at_any_batch_size(trained, tmp_path, format):
    path = tmp_path / f"model{SUFFIX[format]}"
    report = export.export_model(trained, path, format)
    assert (report.format, report.path, report.samples) == (format, path, 8)
    assert 0 <= report.mean_error <= report.max_error <= 1e-5
    assert report.agreement is None
    files = [f for f in (path, *path.rglob("*")) if f.is_file()]
    assert report.bytes == sum(f.stat().st_size for f in files)
    assert list(tmp_path.iterdir()) == [path]
    for count in (1, 5):
        images, _ = quadrants(count, seed=count)
        found = RUN[format](path, images)
        np.testing.assert_allclose(found, trained.predict(images, verbose=0), atol=1e-5)


def test_a_version_is_a_folder_for_tensorflow_serving(trained, tmp_path):
    report = export.export_model(trained, tmp_path / "model", version=3)
    assert report.path == tmp_path / "model" / "3"
    assert (tmp_path / "model" / "3" / "saved_model.pb").is_file()
    export.export_model(trained, tmp_path / "model", version=4)
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"3", "4"}


def composite():
    """A model with layers of kzoo, which the exported file must not need."""
    layers = kzoo.layers
    image = keras.Input((8, 6, 2), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(image)
    x = layers.HighwayConv2D(3, name="highway")(x)
    x = layers.DropBlock2D(0.2, block_size=3, name="drop_block")(x)
    x = layers.PReLU(name="prelu")(x)
    x = keras.layers.Add(name="add")([x, layers.DropPath(0.3, name="path")(x)])
    x = layers.DenseBlock(2, 3, normalization="shared", memory_efficient=True, name="dense")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    head = keras.layers.Dense(3, name="head")
    logits = layers.MultiSampleDropout(head, num_samples=2, name="logits")(x)
    return keras.Model(image, logits, name="composite")


@pytest.mark.parametrize("format", FORMATS)
def test_models_with_kzoos_layers_are_exported(tmp_path, format):
    model = composite()
    path = tmp_path / f"model{SUFFIX[format]}"
    assert export.export_model(model, path, format).max_error <= 1e-5
    if format == "saved_model":
        images = random_array(3, 8, 6, 2)
        expected = model.predict(images, verbose=0)
        assert export.check_in_fresh_process(path, images, expected) <= 1e-5


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_example(export.export_model)


@pytest.mark.slow
def test_the_example_of_the_fresh_process_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_example(export.check_in_fresh_process)


def test_the_fresh_process_reports_its_failure_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(_fresh_process, "_PROGRAM", "print('a')\nraise OSError('no model')")
    text = "cannot be run without kzoo: OSError: no model. Export it again"
    with pytest.raises(ValueError, match=text) as caught:
        export.check_in_fresh_process(tmp_path, np.zeros((1, 2)), np.zeros((1, 2)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", FORMATS)
def test_half_precision_models_are_exported(trained, tmp_path, format):
    half = network("mixed_float16")
    half.set_weights(trained.get_weights())
    images, _ = quadrants(8)
    before = half.predict(images, verbose=0)
    path = tmp_path / f"model{SUFFIX[format]}"
    report = export.export_model(half, path, format, samples=images)
    assert report.max_error <= 1e-5
    assert ("Exported in float32" in report.note) == (format != "saved_model")
    np.testing.assert_allclose(RUN[format](path, images), before, atol=5e-3)
    assert half.get_layer("first").compute_dtype == "float16"


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.logits = keras.layers.Dense(3, name="logits")

    def call(self, x):
        return {"flat": ops.mean(x, axis=(1, 2)), "logits": self.logits(ops.mean(x, axis=(1, 2)))}


@pytest.mark.parametrize("format", FORMATS)
def test_subclassed_models_and_several_outputs(tmp_path, format):
    model = Subclassed()
    images = random_array(4, 5, 3, 2)
    model(images)
    path = tmp_path / f"model{SUFFIX[format]}"
    assert export.export_model(model, path, format, samples=images).max_error <= 1e-5
    with pytest.raises(ValueError, match="`samples` is needed"):
        export.export_model(model, path, format, overwrite=True)


def test_int8_keeps_the_classes_in_a_quarter_of_the_weights_bytes(tmp_path):
    images, _ = quadrants(64, seed=1)
    model = keras.Sequential(
        [
            keras.Input((8, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(4),
        ]
    )
    options = {"quantize": "int8", "representative_data": images, "min_agreement": 0.8}
    whole = export.export_model(model, tmp_path / "float.tflite", "litert")
    small = export.export_model(model, tmp_path / "int8.tflite", "litert", **options)
    assert small.bytes < 0.5 * whole.bytes
    assert (small.samples, small.quantize) == (64, "int8")
    assert 0 < small.mean_error < 0.05
    assert "same class" in str(small)


def test_int8_is_verified_on_the_samples(trained, tmp_path):
    images, labels = quadrants(96, seed=1)
    fresh, _ = quadrants(50, seed=2)
    batches = [(images[i : i + 32], labels[i : i + 32]) for i in (0, 32, 64)]
    path = tmp_path / "model.tflite"
    report = export.export_model(
        trained, path, "litert", quantize="int8", representative_data=batches, samples=fresh
    )
    assert report.samples == 50
    expected = trained.predict(fresh, verbose=0)
    found = run_litert(path, fresh)
    assert report.agreement == np.mean(found.argmax(-1) == expected.argmax(-1)) >= 0.9
    assert found.dtype == np.float32


def test_int8_is_refused_where_classes_change(trained, tmp_path):
    bad = 1e-6 * quadrants(16, seed=1)[0]
    with pytest.raises(ValueError, match=r"of the samples only, less than min_agreement=0.9") as c:
        export.export_model(
            trained,
            tmp_path / "model.tflite",
            "litert",
            quantize="int8",
            representative_data=bad,
            samples=quadrants(64)[0],
        )
    assert "Calibrate with more" in str(c.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format", "module"), [("saved_model", saved_model), ("litert", litert), ("onnx", onnx)]
)
def test_a_file_that_differs_is_refused_and_removed(trained, tmp_path, monkeypatch, format, module):
    run = module.run

    def wrong(file, batches):
        results = [keras.tree.map_structure(np.array, result) for result in run(file, batches)]
        keras.tree.flatten(results[1])[0][0, 0] += 1.0003e-4
        return results

    monkeypatch.setattr(module, "run", wrong)
    path = tmp_path / "new" / f"model{SUFFIX[format]}"
    with pytest.raises(ValueError, match=r"differs from the model by 0.0001, more than tolerance"):
        export.export_model(trained, path, format)
    assert list(tmp_path.iterdir()) == []
    assert export.export_model(trained, path, format, tolerance=2e-4).max_error > 5e-5


def test_lost_outputs_are_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "run", lambda file, batches: [b[:, :1, 0, 0] for b in batches])
    with pytest.raises(
        ValueError, match=r"outputs have shapes \[\(8, 1\)\], the model's \[\(8, 4\)\]"
    ):
        export.export_model(trained, tmp_path / "model")


def test_operations_that_litert_lacks_are_named(tmp_path):
    class Odd(keras.layers.Layer):
        def call(self, x):
            import tensorflow as tf

            return tf.math.igamma(tf.abs(x) + 1, 1.0)

    model = keras.Sequential([keras.Input((3,)), Odd()], name="odd")
    text = "'odd' cannot be exported as litert: LiteRT has no operation for TensorFlow's Igamma"
    with pytest.raises(ValueError, match=text) as caught:
        export.export_model(model, tmp_path / "model.tflite", "litert")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nan_is_refused(trained, tmp_path):
    images = np.full((2, 8, 6, 1), np.nan, "float32")
    with pytest.raises(ValueError, match="gives NaN or infinity on the samples"):
        export.export_model(trained, tmp_path / "model", samples=images)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_writing_gives_one_line(trained, tmp_path, monkeypatch):
    def full(model, file, **options):
        file.mkdir()
        (file / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_model, "write", full)
    text = r"Cannot write model into .* \(No space left on device\)"
    with pytest.raises(OSError, match=text):
        export.export_model(trained, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_export_leaves_the_model_as_it_was(trained, tmp_path):
    weights, config = trained.get_weights(), trained.get_config()
    export.export_model(trained, tmp_path / "model.onnx", "onnx")
    assert trained.get_config() == config
    for before, after in zip(weights, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
