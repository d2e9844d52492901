"""Reading logits where a model gives probabilities, and features before their activation."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo import taps
from tests.helpers import random_array, value_and_gradients


def classifier(*head, features=4):
    """A vector model: `hidden` (ReLU), then `head`."""
    hidden = layers.Dense(features, activation="relu", name="hidden")
    return keras.Sequential([keras.Input((6,)), hidden, *head], name="classifier")


def read(model, names, inputs, **kwargs):
    features = taps.extractor(model, names, **kwargs)(inputs)
    return {name: ops.convert_to_numpy(feature) for name, feature in features.items()}


def linear(model, inputs, name="dense"):
    """What the dense layer `name`, which ends the model, computes before its activation."""
    hidden = ops.convert_to_numpy(model.get_layer("hidden")(inputs))
    kernel, bias = model.get_layer(name).get_weights()
    return hidden @ kernel + bias


HEADS = {
    "softmax in the dense layer": [layers.Dense(3, activation="softmax", name="dense")],
    "sigmoid in the dense layer": [layers.Dense(3, activation="sigmoid", name="dense")],
    "activation layer": [layers.Dense(3, name="dense"), layers.Activation("softmax")],
    "softmax layer": [layers.Dense(3, name="dense"), layers.Softmax()],
    "no activation": [layers.Dense(3, name="dense")],
    "reshaped": [
        layers.Reshape((1, 1, 4)),
        layers.Conv2D(3, 1, name="dense"),
        layers.Reshape((3,)),
        layers.Activation("softmax"),
    ],
}


@pytest.mark.parametrize("kind", HEADS)
def test_logits_are_read_before_the_softmax(kind):
    model = classifier(*(layer.__class__.from_config(layer.get_config()) for layer in HEADS[kind]))
    inputs = random_array(5, 6)
    found = taps.available(model)
    assert found["logits"] == (None, 3)
    assert ("predictions" in found) == (kind != "no activation")
    logits = read(model, "logits", inputs)["logits"]
    np.testing.assert_allclose(logits, linear(model, inputs).reshape(5, 3), atol=1e-5)


def test_logits_before_a_bare_op():
    inputs = keras.Input((6,))
    hidden = layers.Dense(4, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, ops.softmax(layers.Dense(3, name="dense")(hidden)))
    data = random_array(5, 6)
    found = read(model, ["logits", "predictions", "outputs"], data)
    np.testing.assert_allclose(found["logits"], linear(model, data), atol=1e-5)
    np.testing.assert_array_equal(found["predictions"], found["outputs"])


def test_logits_of_only_probabilities_are_their_logarithm():
    inputs = keras.Input((6,))
    heads = [layers.Dense(3, activation="softmax", name=f"head{n}")(inputs) for n in range(2)]
    model = keras.Model(inputs, layers.Average(name="mean")(heads))
    found = read(model, ["logits", "outputs"], random_array(5, 6))
    np.testing.assert_allclose(np.exp(found["logits"]), found["outputs"], rtol=1e-5)


class Probabilities(keras.Model):
    """Softmax in the call, where no layer shows it."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, use_bias=False, name="dense")

    def call(self, inputs):
        return ops.softmax(self.dense(inputs))


def test_logarithm_of_zero_is_finite_with_finite_gradient():
    model = Probabilities()
    model(np.zeros((1, 3), "float32"))
    model.dense.set_weights([np.eye(3, dtype="float32")])
    inputs = np.array([[0.0, 1e4, -1e4]], "float32")
    read_logits = taps.extractor(model, "logits")

    def total(x):
        return ops.sum(read_logits(x)["logits"] * ops.convert_to_tensor([[1.0, 2.0, 3.0]]))

    value, (weight,), (gradient,) = value_and_gradients(total, [model.dense.kernel], [inputs])
    assert value == pytest.approx(4 * np.log(2.0**-126), rel=1e-5)
    assert np.all(np.isfinite(weight))
    assert np.all(np.isfinite(gradient))


def test_features_without_a_classifier_have_no_logits():
    inputs = keras.Input((8, 8, 1))
    maps = layers.Conv2D(3, 3, activation="relu")(inputs)
    assert "logits" not in taps.available(keras.Model(inputs, maps))
    pooled = keras.Model(inputs, layers.GlobalAveragePooling2D()(maps))
    assert taps.available(pooled)["pooled"] == (None, 3)
    assert "logits" not in taps.available(pooled)


def test_without_pooling_the_classifiers_input_is_pooled():
    model = classifier(layers.Dropout(0.5), layers.Dense(3, activation="softmax"))
    inputs = random_array(5, 6)
    pooled = taps.extractor(model, "pooled")(inputs, training=True)["pooled"]
    hidden = model.get_layer("hidden")(inputs)
    np.testing.assert_array_equal(ops.convert_to_numpy(pooled), ops.convert_to_numpy(hidden))


ENDS = {
    "in the convolution": [layers.Conv2D(3, 3, activation="relu", name="a")],
    "layer": [layers.Conv2D(3, 3, name="a"), layers.ReLU(name="b")],
    "activation layer": [layers.Conv2D(3, 3, name="a"), layers.Activation("relu", name="b")],
    "then dropout": [layers.Conv2D(3, 3, name="a"), layers.ReLU(), layers.Dropout(0.1, name="b")],
    "layer in the convolution": [
        layers.Conv2D(3, 3, activation=layers.LeakyReLU(name="leaky"), name="a")
    ],
}


@pytest.mark.parametrize("kind", ENDS)
def test_pre_activation_is_what_the_last_activation_reads(kind):
    ends = [layer.__class__.from_config(layer.get_config()) for layer in ENDS[kind]]
    model = keras.Sequential([keras.Input((8, 8, 1)), *ends])
    inputs = random_array(2, 8, 8, 1)
    kernel, bias = model.get_layer("a").get_weights()
    expected = ops.convert_to_numpy(ops.conv(inputs, kernel) + bias)
    assert (expected < 0).any()
    last = ends[-1].name
    found = read(model, ["stage1", "stage1:pre", f"{last}:pre"], inputs)
    np.testing.assert_allclose(found["stage1:pre"], expected, atol=1e-5)
    np.testing.assert_allclose(found[f"{last}:pre"], expected, atol=1e-5)
    slope = 0.3 if "layer in" in kind else 0.0
    np.testing.assert_allclose(
        found["stage1"], np.where(expected < 0, slope * expected, expected), atol=1e-5
    )
    whole = read(model, "stage1", inputs, pre_activation=True)
    np.testing.assert_array_equal(whole["stage1"], found["stage1:pre"])


def test_pre_activation_of_a_residual_sum_and_of_a_bare_op():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(2, 3, padding="same", name="conv")(inputs)
    x = layers.ReLU(name="act")(layers.Add(name="add")([inputs, x]))
    bare = keras.Model(inputs, ops.relu(layers.Conv2D(2, 3, name="last")(x)))
    found = read(bare, ["act:pre", "add", "stage1:pre", "last"], random_array(2, 8, 8, 2))
    np.testing.assert_array_equal(found["act:pre"], found["add"])
    np.testing.assert_array_equal(found["stage1:pre"], found["last"])
    assert (found["last"] < 0).any()


def test_pre_activation_of_what_no_activation_ends_is_the_feature():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, layers.Concatenate(name="join")([inputs, x]))
    found = read(model, ["join:pre", "join"], random_array(2, 8, 8, 2))
    np.testing.assert_array_equal(found["join:pre"], found["join"])


def test_probabilities_of_a_dense_layer_have_logits_by_name():
    model = classifier(layers.Dense(3, activation="softmax", name="dense"))
    inputs = random_array(5, 6)
    found = read(model, ["dense:pre"], inputs)["dense:pre"]
    np.testing.assert_allclose(found, linear(model, inputs), atol=1e-5)
