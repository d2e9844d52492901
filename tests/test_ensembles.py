"""Several classifiers as one Keras model."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import ensembles
from tests.helpers import random_array

IMAGES = (8, 8, 1)


def network(name, classes=3, activation="softmax", inputs=None):
    inputs = keras.Input(IMAGES) if inputs is None else inputs
    hidden = keras.layers.Flatten(name="flat")(inputs)
    top = keras.layers.Dense(classes, activation, name="top")(hidden)
    return keras.Model(inputs, top, name=name)


def outputs(model, x):
    return ops.convert_to_numpy(model(x))


def mean(models, x):
    return np.mean([outputs(model, x) for model in models], axis=0)


def test_the_mean_of_the_probabilities():
    models = [network("a"), network("b"), network("c")]
    x = random_array(4, *IMAGES)
    ensemble = ensembles.mean_of(models, "three")
    assert ensemble.name == "three"
    np.testing.assert_allclose(outputs(ensemble, x), mean(models, x), atol=1e-6)
    assert ensemble.count_params() == 3 * models[0].count_params()


def test_logits_become_probabilities_first():
    models = [network("a", activation=None), network("b")]
    x = random_array(4, *IMAGES)
    logits = outputs(models[0], x)
    first = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = (first + outputs(models[1], x)) / 2
    np.testing.assert_allclose(outputs(ensembles.mean_of(models), x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        network,
        lambda name: keras.Sequential(
            [keras.Input(IMAGES), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")],
            name=name,
        ),
    ],
)
def test_networks_of_one_name(build, tmp_path):
    models, x = [build("net"), build("net")], random_array(4, *IMAGES)
    ensemble = ensembles.mean_of(models)
    np.testing.assert_allclose(outputs(ensemble, x), mean(models, x), atol=1e-6)
    assert [model.name for model in models] == ["net", "net"]
    ensemble.save(tmp_path / "ensemble.keras")
    loaded = keras.saving.load_model(tmp_path / "ensemble.keras", custom_objects={})
    np.testing.assert_allclose(outputs(loaded, x), mean(models, x), atol=1e-6)


def test_any_names():
    """Of members, their inputs and the layers that are made: all would meet in one model."""
    inputs = [keras.Input(IMAGES, name="image") for _ in range(3)]
    names = ["image", "mean", "probabilities_1"]
    models = [network(n, inputs=i) for n, i in zip(names, inputs, strict=True)]
    models += [network(n) for n in ("a", "a", "a_4")]
    x = random_array(4, *IMAGES)
    np.testing.assert_allclose(outputs(ensembles.mean_of(models), x), mean(models, x), atol=1e-6)


def test_open_sizes_fit_any():
    image = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    free = keras.Model(image, keras.layers.Dense(3, "softmax")(pooled), name="free")
    x = random_array(4, *IMAGES)
    for models in ([free, network("a")], [network("a"), free]):
        ensemble = ensembles.mean_of(models)
        np.testing.assert_allclose(outputs(ensemble, x), mean(models, x), atol=1e-6)


def test_it_holds_the_weights_of_its_members():
    models, x = [network("a"), network("b")], random_array(4, *IMAGES)
    ensemble = ensembles.mean_of(models)
    models[0].get_layer("top").bias.assign([9.0, 0.0, 0.0])
    np.testing.assert_allclose(outputs(ensemble, x), mean(models, x), atol=1e-6)


def test_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    ensemble = ensembles.mean_of([network("a"), network("b", activation=None)])
    assert outputs(ensemble, random_array(2, *IMAGES)).dtype == "float32"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (list, "must be a list of classifiers"),
        (lambda: network("a"), "must be a list of classifiers"),
        (lambda: [network("a"), network("b", inputs=keras.Input((4, 8, 1)))], "input .4, 8, 1."),
        (
            lambda: [network("a"), network("b", 4)],
            "'b' with input .8, 8, 1. and 4 classes",
        ),
        (lambda: [keras.Model()], "functional or Sequential keras.Model that gives one vector"),
        (lambda: [keras.Model(i := keras.Input(IMAGES), keras.layers.ReLU()(i))], "one vector"),
    ],
)
def test_what_has_no_mean_is_refused(models, message):
    with pytest.raises(ValueError, match=message):
        ensembles.mean_of(models())
