"""Which taps a model has: inference of the canonical names, explicit names, errors."""

import inspect
import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo import taps
from tests.helpers import random_array
from tests.taps_models import Subclassed, plain_net, read


def layer_outputs(model, names, inputs):
    """The same features the usual way: a functional model on the layers' outputs."""
    outputs = [model.get_layer(name).output for name in names]
    return [ops.convert_to_numpy(y) for y in keras.Model(model.inputs, outputs)([inputs])]


def assert_same(found, expected, atol=1e-5):
    for feature, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(feature, reference, atol=atol)


def residual_net():
    """Two residual stages with squeeze-and-excitation; the softmax is in the Dense."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    for n, (filters, strides) in enumerate([(4, 1), (8, 2)]):
        y = layers.Conv2D(filters, 3, strides, padding="same", name=f"conv{n}a")(x)
        y = layers.ReLU(name=f"relu{n}a")(y)
        y = layers.Conv2D(filters, 3, padding="same", name=f"conv{n}b")(y)
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"squeeze{n}")(y)
        gate = layers.Conv2D(filters, 1, activation="sigmoid", name=f"excite{n}")(gate)
        y = layers.Multiply(name=f"scale{n}")([y, gate])
        x = layers.Conv2D(filters, 1, strides, name=f"shortcut{n}")(x)
        x = layers.Add(name=f"add{n}")([x, y])
        x = layers.ReLU(name=f"relu{n}b")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    outputs = layers.Dense(5, activation="softmax", name="dense")(x)
    return keras.Model(inputs, outputs, name="residual")


def test_stages_end_at_blocks_not_inside_them():
    model = residual_net()
    assert taps.available(model) == {
        "stem": (None, 16, 16, 4),
        "stage1": (None, 16, 16, 4),
        "stage2": (None, 8, 8, 8),
        "pooled": (None, 8),
        "logits": (None, 5),
        "predictions": (None, 5),
    }
    inputs = random_array(2, 16, 16, 3)
    found = read(model, "stem", "stage1", "stage2", "pooled", inputs=inputs)
    assert_same(found, layer_outputs(model, ["relu", "relu0b", "relu1b", "gap"], inputs))


def test_sequential_stages_are_read_before_each_pooling():
    model = plain_net([layers.Flatten(), layers.Dense(3, name="dense")])
    assert taps.available(model) == {
        "stem": (None, 16, 12, 4),
        "stage1": (None, 16, 12, 4),
        "stage2": (None, 8, 6, 6),
        "pooled": (None, 72),
        "logits": (None, 3),
    }
    inputs = random_array(2, 16, 12, 1)
    found = read(model, "stage1", "stage2", inputs=inputs)
    assert_same(found, layer_outputs(model, ["one", "two_relu"], inputs))


def test_flattening_is_no_pooling():
    head = [layers.Flatten(), layers.Dense(5, activation="relu"), layers.Dense(3)]
    assert taps.available(plain_net(head))["pooled"] == (None, 5)


def test_dropout_at_the_end_of_a_stage_is_part_of_it():
    dropout = layers.Dropout(0.5, name="drop")
    stage = [layers.Conv2D(4, 3), layers.ReLU(name="act"), dropout, layers.MaxPooling2D()]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stage])
    extractor = taps.extractor(model, ["stage1", "drop", "act"])
    found = extractor(random_array(2, 8, 8, 1), training=True)
    stage1, drop, act = (ops.convert_to_numpy(found[name]) for name in ("stage1", "drop", "act"))
    np.testing.assert_array_equal(stage1, drop)
    assert not np.array_equal(drop, act)


def test_strided_convolution_and_pooling_are_the_stem():
    def net(second):
        return keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                layers.Conv2D(4, 7, 2, padding="same"),
                layers.ZeroPadding2D(1),
                second,
                layers.Conv2D(6, 3, padding="same", name="a"),
                layers.Conv2D(8, 3, 2, padding="same", name="b"),
            ]
        )

    pooled = taps.available(net(layers.MaxPooling2D(3, 2)))
    assert pooled == {
        "stem": (None, 16, 16, 4),
        "stage1": (None, 8, 8, 6),
        "stage2": (None, 4, 4, 8),
    }
    strided = taps.available(net(layers.Conv2D(5, 3, 2)))
    assert [strided[f"stage{n}"][-1] for n in (1, 2, 3)] == [4, 6, 8]


def test_maps_that_merely_lose_their_border_end_no_stage():
    convolutions = [layers.Conv2D(n, 3) for n in (2, 3, 4)]
    model = keras.Sequential([keras.Input((20, 20, 1)), *convolutions])
    assert taps.available(model)["stage1"] == (None, 14, 14, 4)
    assert "stage2" not in taps.available(model)


APPLICATIONS = {
    "ResNet50": [("conv2_block3_out", 8), ("conv3_block4_out", 4), ("conv4_block6_out", 2)],
    "MobileNetV2": [
        ("block_1_expand_relu", 16),
        ("block_3_expand_relu", 8),
        ("block_6_expand_relu", 4),
        ("block_13_expand_relu", 2),
    ],
    "EfficientNetB0": [
        ("block2a_expand_activation", 16),
        ("block3a_expand_activation", 8),
        ("block4a_expand_activation", 4),
        ("block6a_expand_activation", 2),
    ],
    "DenseNet121": [("pool2_conv", 8), ("pool3_conv", 4), ("pool4_conv", 2)],
    "ResNet50V2": [("conv2_block2_out", 8), ("conv3_block3_out", 4), ("conv4_block5_out", 2)],
    "VGG16": [("block1_conv2", 32), ("block2_conv2", 16), ("block3_conv3", 8)],
}
FAST = ("MobileNetV2",)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in FAST else [pytest.mark.slow]) for n in APPLICATIONS],
)
def test_stages_of_keras_applications(name):
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=7, classifier_activation="softmax"
    )
    found = taps.available(model)
    expected = APPLICATIONS[name]
    stages = [f"stage{n}" for n in range(1, len(expected) + 1)]
    assert [found[stage][1] for stage in stages] == [size for _, size in expected]
    inputs = random_array(2, 32, 32, 3)
    features = read(model, *stages, "logits", "outputs", inputs=inputs)
    reference = layer_outputs(model, [layer for layer, _ in expected], inputs)
    assert_same(features[: len(stages)], reference, atol=1e-4)
    logits, outputs = features[-2:]
    assert_same([ops.convert_to_numpy(ops.softmax(logits))], [outputs])


@pytest.mark.slow
def test_stages_where_cells_read_the_two_before_them():
    model = keras.applications.NASNetMobile(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )
    found = taps.available(model)
    assert [found[f"stage{n}"][1] for n in (1, 2, 3, 4)] == [16, 8, 4, 2]
    assert "stage5" not in found


def test_layers_that_carry_canonical_names_are_taken_at_their_word():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, padding="same", name="stem")(inputs)
    x = layers.Conv2D(3, 3, padding="same", name="stage1")(x)
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.Conv2D(5, 3, 2, padding="same", name="stage2")(x)
    backbone = keras.Model(inputs, x, name="backbone")
    names = {"stem": 2, "stage1": 3, "stage2": 5}
    assert {k: v[-1] for k, v in taps.available(backbone).items()} == names
    outer = keras.Input((8, 8, 1))
    nested = keras.Model(outer, layers.Dense(6)(layers.GlobalMaxPooling2D()(backbone(outer))))
    found = {k: v[-1] for k, v in taps.available(nested).items()}
    assert found == {**names, "pooled": 5, "logits": 6}


def test_nested_models_are_seen_through():
    plain = plain_net()
    inputs = keras.Input((16, 12, 1))
    x = layers.Rescaling(2.0)(inputs)
    x = layers.GlobalAveragePooling2D(name="gap")(plain(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    found = taps.available(model)
    assert found["stage1"] == (None, 16, 12, 4)
    assert found["stage2"] == (None, 8, 6, 6)
    images = random_array(2, 16, 12, 1)
    stage2, path = read(model, "stage2", "plain/two_relu", inputs=images)
    np.testing.assert_array_equal(stage2, path)
    assert_same([path], layer_outputs(plain, ["one", "two_relu"], 2 * images)[1:])


def test_open_sizes_stay_open():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    found = taps.available(model)
    assert found["stage1"] == (None, None, None, 4)
    assert found["stage2"] == (None, None, None, 8)
    (feature,) = read(model, "stage1", inputs=random_array(1, 10, 6, 3))
    assert feature.shape == (1, 5, 3, 4)


def test_subclassed_models():
    model = Subclassed(name="subclassed")
    inputs = random_array(2, 8, 8, 1)
    model(inputs)
    found = taps.available(model, layers=True)
    assert {tap: found[tap] for tap in ("stem", "stage1", "stage2", "pooled", "logits")} == {
        "stem": (None, 8, 8, 4),
        "stage1": (None, 8, 8, 4),
        "stage2": (None, 4, 4, 6),
        "pooled": (None, 6),
        "logits": (None, 3),
    }
    assert found["branch1"] == (None, 8, 8, 4)
    stage1, act, stage2, pooled, logits = read(
        model, "stage1", "act", "shrink", "pooled", "outputs", inputs=inputs
    )
    np.testing.assert_array_equal(stage1, act)
    np.testing.assert_allclose(stage2.mean((1, 2)), pooled, atol=1e-6)
    kernel, bias = model.head.get_weights()
    np.testing.assert_allclose(pooled @ kernel + bias, logits, atol=1e-5)


@pytest.mark.parametrize("function", [taps.available, taps.extractor])
def test_the_documented_examples_run(function):
    (example,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(function), flags=re.S)
    scope = {}
    exec(example, scope)
    if "features" in scope:
        assert set(scope["features"]) == {"stage1", "features:pre", "logits", "outputs"}
    else:
        assert taps.available(scope["model"])["logits"] == (None, 3)
