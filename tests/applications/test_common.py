"""What all constructors share, and each kind of bad input, with its one clear message."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.applications import HighwayConvNet, HighwayNet, LeNet5, LeNet300100, PReLUNet, ResNet
from kzoo.applications import _common as common
from tests.helpers import random_array

SMALLEST = [
    (ResNet, 8, {"depth": 8, "filters": 4}),
    (LeNet5, 12, {}),
    (HighwayConvNet, 8, {}),
    (PReLUNet, 8, {"filters": 4}),
]


def tiny(**changes):
    return ResNet(**{"depth": 8, "filters": 2, "input_shape": (8, 8, 3), **changes})


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(("constructor", "size", "args"), SMALLEST)
def test_smallest_image_works_and_a_smaller_one_is_refused(constructor, size, args):
    assert constructor(**args, input_shape=(size, size + 1, 2)).output_shape == (None, 10)
    with pytest.raises(ValueError, match=f"smallest image for this model is {size}x{size}"):
        constructor(**args, input_shape=(size, size - 1, 2))


@pytest.mark.parametrize("constructor", [ResNet, LeNet5, LeNet300100, HighwayNet, PReLUNet])
def test_channels_first_is_refused(constructor, channels_first):
    with pytest.raises(ValueError, match="channels_last"):
        constructor()


@pytest.mark.parametrize(
    "shape", [(8, 8), (8, 8, 3, 1), (8, 8, None), (8.0, 8, 3), (8, 8, 0), (-8, 8, 3)]
)
def test_malformed_shape(shape):
    with pytest.raises(ValueError, match=r"must be \(height, width, channels\)"):
        tiny(input_shape=shape)


@pytest.mark.parametrize("classes", [0, -1, 2.5, "10", True, None])
@pytest.mark.parametrize("constructor", [tiny, LeNet5, LeNet300100])
def test_wrong_classes(constructor, classes):
    with pytest.raises(ValueError, match="`classes` must be a positive integer"):
        constructor(classes=classes)


@pytest.mark.parametrize("constructor", [tiny, LeNet5, LeNet300100, HighwayNet, HighwayConvNet])
def test_wrong_pooling(constructor):
    with pytest.raises(ValueError, match=r'None, "avg" or "max"\. Received: pooling=.mean'):
        constructor(pooling="mean")


def test_wrong_classifier_activation():
    with pytest.raises(ValueError, match="sofmax"):
        tiny(classifier_activation="sofmax")


def test_open_size_of_a_flattening_model():
    for constructor in (LeNet5, LeNet300100, HighwayNet):
        with pytest.raises(ValueError, match="needs a height and a width"):
            constructor(input_shape=(None, 28, 1))
    with pytest.raises(ValueError, match="needs a height and a width"):
        HighwayConvNet(flatten=True, input_shape=(28, None, 1))


def test_default_shape_is_open_without_the_top():
    assert ResNet(depth=8, filters=2, include_top=False).input_shape == (None, None, None, 3)
    assert ResNet(depth=8, filters=2).input_shape == (None, 32, 32, 3)
    assert LeNet300100(include_top=False).input_shape == (None, 28, 28, 1)


def test_input_tensor_is_traced_back_to_its_source():
    source = keras.Input((10, 12, 1), name="source")
    x = keras.layers.Conv2D(5, 3, name="before")(source)
    model = tiny(input_shape=None, input_tensor=x)
    assert model.input_shape == (None, 10, 12, 1)
    assert [layer.name for layer in model.layers[:2]] == ["source", "before"]
    assert model.get_layer("stem_conv").kernel.shape == (3, 3, 5, 2)
    other = keras.Input((8, 10, 5), name="other")
    both = tiny(input_shape=None, input_tensor=keras.layers.Add(name="sum")([x, other]))
    assert [tensor.shape for tensor in both.inputs] == [(None, 10, 12, 1), (None, 8, 10, 5)]


def test_wrong_input_tensor():
    with pytest.raises(ValueError, match="must be a KerasTensor"):
        tiny(input_shape=None, input_tensor=np.zeros((1, 8, 8, 3)))
    with pytest.raises(ValueError, match="Give only one of them"):
        tiny(input_tensor=keras.Input((9, 8, 3)))
    with pytest.raises(ValueError, match="smallest image"):
        tiny(input_shape=None, input_tensor=keras.Input((7, 8, 3)))


@pytest.mark.parametrize(
    ("pooling", "reduce"), [("avg", np.mean), ("max", np.max)], ids=["avg", "max"]
)
def test_pooling_without_the_top(pooling, reduce):
    images = random_array(2, 8, 10, 3)
    whole = tiny(input_shape=(8, 10, 3), include_top=False)
    pooled = tiny(input_shape=(8, 10, 3), include_top=False, pooling=pooling)
    pooled.set_weights(whole.get_weights())
    maps = ops.convert_to_numpy(whole(images))
    assert pooled.layers[-1].name == "pooled"
    np.testing.assert_allclose(
        ops.convert_to_numpy(pooled(images)), reduce(maps, axis=(1, 2)), rtol=1e-5, atol=1e-6
    )


def test_logits_and_predictions():
    images = random_array(2, 8, 8, 3)
    model = tiny()
    logits = tiny(classifier_activation=None)
    logits.set_weights(model.get_weights())
    assert [layer.name for layer in model.layers[-3:]] == ["pooled", "logits", "predictions"]
    assert logits.layers[-1].name == "logits"
    assert not np.any(ops.convert_to_numpy(model.get_layer("logits").bias))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(images)),
        ops.convert_to_numpy(ops.softmax(logits(images))),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("policy", "dtype"),
    [("mixed_float16", "float32"), ("mixed_bfloat16", "float32"), ("float64", "float64")],
)
def test_the_head_has_at_least_single_precision(policy, dtype):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is told so before it starts")
    keras.config.set_dtype_policy(policy)
    for activation in ("softmax", None):
        model = tiny(classifier_activation=activation)
        assert model.output.dtype == dtype
        assert model.get_layer("stage3").compute_dtype == keras.DTypePolicy(policy).compute_dtype
        output = model(random_array(2, 8, 8, 3))
        assert keras.backend.standardize_dtype(output.dtype) == dtype


def test_weights_from_a_file(tmp_path):
    path = tmp_path / "model.weights.h5"
    images = random_array(2, 8, 8, 3)
    model = tiny()
    model.save_weights(path)
    expected = ops.convert_to_numpy(model(images))
    for given in (path, str(path)):
        loaded = tiny(weights=given)
        np.testing.assert_array_equal(ops.convert_to_numpy(loaded(images)), expected)


def test_missing_weights():
    with pytest.raises(ValueError, match=r"ResNet\(weights='nowhere.weights.h5'\).*no file"):
        tiny(weights="nowhere.weights.h5")


def test_truncated_weights(tmp_path):
    path = tmp_path / "cut.weights.h5"
    tiny().save_weights(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="damaged"):
        tiny(weights=path)


def test_weights_of_another_model(tmp_path):
    path = tmp_path / "other.weights.h5"
    tiny().save_weights(path)
    with pytest.raises(ValueError, match=r"logits.*needs shape \(8, 7\), the file has \(8, 10\)"):
        tiny(weights=path, classes=7)
    with pytest.raises(ValueError, match="does not fit"):
        LeNet300100(weights=path)


def test_unknown_weights_name(monkeypatch):
    monkeypatch.setattr(
        "kzoo.pretrained._manifest.available", lambda folder=None: {"digits-resnet8": None}
    )
    with pytest.raises(ValueError, match="Did you mean 'digits-resnet8'"):
        tiny(weights="digits-resnet")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_preprocess_leaves_its_argument_alone(dtype):
    images = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3).astype(dtype)
    before = images.copy()
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    result = common.preprocess(images, mean, std)
    np.testing.assert_array_equal(images, before)
    assert result.dtype == (dtype if "float" in dtype else "float32")
    np.testing.assert_allclose(result, (before / 255.0 - mean) / std, atol=1e-6)
    tensor = common.preprocess(ops.convert_to_tensor(images), mean, std)
    assert ops.is_tensor(tensor)
    np.testing.assert_allclose(ops.convert_to_numpy(tensor), result, atol=1e-6)


def test_preprocess_refuses_statistics_of_other_images():
    gray = np.zeros((2, 8, 8, 1))
    with pytest.raises(ValueError, match="each of the 1 channels"):
        common.preprocess(gray, common.CIFAR10_MEAN, 1.0)
    with pytest.raises(ValueError, match="`std` must be"):
        common.preprocess(gray, (0.5,), (1.0, 1.0))


def test_decode_predictions():
    predictions = np.array([[0.1, 0.7, 0.2], [0.4, 0.2, 0.4]], "float32")
    first, second = common.decode_predictions(predictions, ["ant", "bee", "cat"], top=2)
    assert [(i, name) for i, name, _ in first] == [(1, "bee"), (2, "cat")]
    assert [(i, name) for i, name, _ in second] == [(0, "ant"), (2, "cat")]
    assert [round(score, 6) for _, _, score in first] == [0.7, 0.2]
    everything = common.decode_predictions(ops.convert_to_tensor(predictions), "abc")
    assert [len(row) for row in everything] == [3, 3]


def test_decode_predictions_refuses():
    with pytest.raises(ValueError, match=r"\(batch, 2\).*Received: shape \(1, 3\)"):
        common.decode_predictions(np.zeros((1, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="shape \\(3,\\)"):
        common.decode_predictions(np.zeros(3), "abc")
    with pytest.raises(ValueError, match="`top` must be at least 1"):
        common.decode_predictions(np.zeros((1, 3)), "abc", top=0)
