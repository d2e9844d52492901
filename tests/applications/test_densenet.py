import inspect
import json

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from keras.src.applications import densenet as keras_densenet

from kzoo import pretrained
from kzoo.applications import (
    DenseNet121,
    DenseNet161,
    DenseNet169,
    DenseNet201,
    DenseNet264,
    densenet,
)
from kzoo.applications._densenet_import import is_keras_file
from tests.helpers import random_array

SMALL = {"blocks": (1, 2, 1, 1), "growth_rate": 4, "input_shape": (32, 40, 3)}
REFERENCES = {
    "121": (DenseNet121, keras.applications.DenseNet121),
    "169": (DenseNet169, keras.applications.DenseNet169),
    "201": (DenseNet201, keras.applications.DenseNet201),
}


def randomize(model):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.standard_normal(weight.shape)
        if len(weight.shape) > 1:
            weight.assign(values * np.sqrt(2 / np.prod(weight.shape[:-1])))
        elif weight.name in ("moving_variance", "gamma"):
            weight.assign(np.abs(1 + 0.2 * values))
        else:
            weight.assign(0.2 * values)
    return model


def output(model, x):
    return keras.tree.map_structure(ops.convert_to_numpy, model(x, training=False))


def write_keras_file(model, path, group=None):
    """The layout of the official files: one group a layer, names as attributes."""
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            entry = root.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0".encode() for weight in layer.weights]
            entry.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                entry[name.decode()] = ops.convert_to_numpy(weight)
    return path


def small_reference(include_top=True):
    return randomize(
        keras_densenet.DenseNet(
            (1, 2, 1, 1),
            weights=None,
            include_top=include_top,
            input_shape=(32, 40, 3),
            classes=1000,
        )
    )


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.h5"
    model = small_reference()
    return model, write_keras_file(model, path)


@pytest.mark.parametrize(
    "number",
    [
        "121",
        pytest.param("169", marks=pytest.mark.slow),
        pytest.param("201", marks=pytest.mark.slow),
    ],
)
def test_equals_keras_applications(number, tmp_path):
    constructor, peer = REFERENCES[number]
    reference = randomize(peer(weights=None, input_shape=(64, 64, 3)))
    path = write_keras_file(reference, tmp_path / "official.h5")
    model = constructor(weights=str(path), input_shape=(64, 64, 3))
    statistics = [int(np.prod(w.shape)) for w in model.non_trainable_weights]
    assert sum(statistics) == sum(int(np.prod(w.shape)) for w in reference.non_trainable_weights)
    x = random_array(2, 64, 64, 3)
    stage = f"conv2_block{densenet.VARIANTS[f'DenseNet{number}']['blocks'][0]}_concat"
    ours = keras.Model(model.input, [model.get_layer("stage1").output, model.output])
    theirs = keras.Model(reference.input, [reference.get_layer(stage).output, reference.output])
    for found, wanted in zip(output(ours, x), output(theirs, x), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1, np.max(np.abs(wanted))))


def test_a_file_with_a_top_serves_a_model_without(small_file):
    reference, path = small_file
    settings = {**SMALL, "growth_rate": 32}
    model = DenseNet121(include_top=False, pooling="avg", weights=path, **settings)
    features = keras.Model(reference.input, reference.get_layer("avg_pool").output)
    x = random_array(2, 32, 40, 3)
    np.testing.assert_allclose(output(model, x), output(features, x), atol=1e-5)


def test_a_file_of_a_whole_model_and_one_without_top(tmp_path):
    reference = small_reference(include_top=False)
    path = write_keras_file(reference, tmp_path / "whole.h5", group="model_weights")
    settings = {**SMALL, "growth_rate": 32}
    model = DenseNet121(include_top=False, weights=path, **settings)
    x = random_array(1, 32, 40, 3)
    np.testing.assert_allclose(output(model, x), output(reference, x), atol=1e-4)
    with pytest.raises(ValueError, match="has no classifier"):
        DenseNet121(weights=path, **settings)


def test_layers_before_the_network_keep_their_weights(small_file):
    _, path = small_file
    inputs = keras.Input((32, 40, 5))
    before = keras.layers.Conv2D(3, 1, name="before")
    settings = {"blocks": SMALL["blocks"], "growth_rate": 32}
    model = DenseNet121(input_tensor=before(inputs), weights=path, **settings)
    with h5py.File(path) as file:
        expected = np.asarray(file["conv1_conv/conv1_conv/kernel:0"])
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model.get_layer("stem_conv").kernel), expected
    )


def test_files_that_do_not_fit_are_refused(small_file, tmp_path):
    _, path = small_file
    with pytest.raises(ValueError, match="is of another network: it has"):
        DenseNet121(weights=path, **{**SMALL, "blocks": (1, 1, 1, 1)})
    with pytest.raises(ValueError, match=r"stem_conv needs arrays of .* the file has"):
        DenseNet121(weights=path, **SMALL)
    torn = tmp_path / "torn.h5"
    torn.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"torn\.h5"):
        DenseNet121(weights=torn, **SMALL)
    assert not is_keras_file(torn)


def test_imagenet_weights_are_fetched_and_converted(small_file, monkeypatch):
    reference, path = small_file
    asked = []

    def download(url, **checksums):
        asked.append((url, checksums))
        return path

    monkeypatch.setattr(pretrained, "download", download)
    settings = {**SMALL, "growth_rate": 32}
    x = random_array(1, 32, 40, 3)
    for include_top in (True, False):
        model = DenseNet121(include_top, "imagenet", **settings)
    np.testing.assert_allclose(
        output(DenseNet121(weights="imagenet", **settings), x),
        output(reference, x),
        atol=1e-5,
    )
    assert model.output.shape[-1] == reference.get_layer("bn").output.shape[-1]
    source = inspect.getsource(keras_densenet.DenseNet)
    for (url, checksums), end in zip(asked[:2], ("kernels.h5", "kernels_notop.h5"), strict=True):
        assert url.startswith("https://")
        assert url.endswith(f"densenet121_weights_tf_dim_ordering_tf_{end}")
        assert checksums["md5"] in source
    with pytest.raises(ValueError, match="has 1000 classes"):
        DenseNet121(weights="imagenet", classes=10, **settings)


def test_checksums_are_those_of_keras():
    source = inspect.getsource(keras_densenet.DenseNet)
    assert all(md5 in source for md5 in densenet._MD5.values())
    assert len(set(densenet._MD5.values())) == 6


def test_offline_the_error_says_how_to_give_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(densenet, "_SOURCE", "http://127.0.0.1:9/")
    with pytest.raises(ConnectionError, match="give the path of a file") as error:
        DenseNet121(weights="imagenet", blocks=(1, 1, 1, 1))
    assert "\n" not in str(error.value)


def test_only_published_weights_have_the_name_imagenet():
    with pytest.raises(ValueError, match="imagenet"):
        DenseNet161(weights="imagenet", **SMALL)


def test_preprocessing_is_that_of_keras():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype("float32")
    expected = keras.applications.densenet.preprocess_input(
        pixels.copy(), data_format="channels_last"
    )
    np.testing.assert_allclose(densenet.preprocess_input(pixels), expected, atol=1e-5)


def test_predictions_are_decoded_with_the_names_of_imagenet(monkeypatch, tmp_path):
    path = tmp_path / "index.json"
    path.write_text(json.dumps({str(i): [f"n{i:08}", f"name{i}"] for i in range(1000)}))
    monkeypatch.setattr(pretrained, "download", lambda url, md5: path)
    scores = np.zeros((1, 1000))
    scores[0, [7, 3]] = 0.6, 0.4
    expected = [[("n00000007", "name7", 0.6), ("n00000003", "name3", 0.4)]]
    assert densenet.decode_predictions(scores, top=2) == expected
    named = densenet.decode_predictions(scores[:, :8], [f"c{i}" for i in range(8)], top=1)
    assert named == [[(7, "c7", 0.6)]]


def test_offline_decoding_says_what_to_give(monkeypatch):
    def offline(url, md5):
        raise ConnectionError("Could not fetch it.")

    monkeypatch.setattr(pretrained, "download", offline)
    with pytest.raises(ConnectionError, match=r"Could not fetch it\. Or give `class_names`"):
        densenet.decode_predictions(np.zeros((1, 1000)))


@pytest.mark.slow
def test_densenet264_is_that_of_keras():
    reference = keras_densenet.DenseNet((6, 12, 64, 48), weights=None)
    assert DenseNet264().count_params() == reference.count_params()


def test_wrong_blocks_are_refused():
    with pytest.raises(ValueError, match=r"`blocks` must be positive integers"):
        DenseNet121(blocks=())
