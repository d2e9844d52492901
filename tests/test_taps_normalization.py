"""The batch normalisation before a tap."""

import keras
import pytest
from keras import layers

from kzoo import taps
from kzoo.applications import ResNet
from tests.examples import run_example


def block(x, channels, name, project=False):
    y = layers.Conv2D(channels, 3, padding="same", name=f"{name}_conv")(x)
    y = layers.BatchNormalization(name=f"{name}_main")(y)
    y = layers.Dropout(0.1, name=f"{name}_drop")(y)
    if project:
        x = layers.Conv2D(channels, 1, name=f"{name}_project")(x)
        x = layers.BatchNormalization(name=f"{name}_shortcut")(x)
    return layers.ReLU(name=f"{name}_end")(layers.Add(name=f"{name}_add")([x, y]))


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8, 6, 3))
    x = layers.BatchNormalization(name="of_inputs")(inputs)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem_conv")(x)
    x = block(x, 4, "first")
    x = block(x, 6, "second", project=True)
    x = layers.ZeroPadding2D(name="padded")(x)
    x = layers.Conv2D(6, 3, name="plain")(x)
    body = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.BatchNormalization(name="deep"), layers.ReLU(name="act")],
        name="body",
    )
    return keras.Model(inputs, body(x), name="model")


@pytest.mark.parametrize(
    ("tap", "name"),
    [
        ("first_end", "first_main"),
        ("first_end:pre", "first_main"),
        ("first_main", "first_main"),
        ("second_end", "second_main"),
        ("second_shortcut", "second_shortcut"),
        ("padded", "second_main"),
        ("stem_conv", None),
        ("plain", None),
        ("body/act", "deep"),
        ("body", "deep"),
    ],
)
@pytest.mark.parametrize("pre_activation", [True, False])
def test_the_nearest_upstream(model, tap, name, pre_activation):
    found = taps.normalization_before(model, tap, pre_activation)
    assert (None if found is None else found.name) == name


def test_channels_must_be_those_of_the_tap():
    inputs = keras.Input((4, 4, 1))
    wide = layers.Conv2D(3, 1, name="wide")(inputs)
    narrow = layers.BatchNormalization(name="narrow")(inputs)
    model = keras.Model(inputs, layers.Add(name="sum")([wide, narrow]))
    assert taps.normalization_before(model, "sum") is None


def test_every_stage_of_a_resnet_has_one():
    model = ResNet(depth=14, input_shape=(16, 16, 3), classes=3, weights=None)
    stages = [name for name in taps.available(model) if name.startswith("stage")]
    found = [taps.normalization_before(model, stage) for stage in stages]
    assert len(stages) == 3
    channels = [taps.available(model)[stage][-1] for stage in stages]
    assert [layer.moving_mean.shape[0] for layer in found] == channels
    assert len({id(layer) for layer in found}) == 3


def test_unknown_names_are_errors(model):
    with pytest.raises(ValueError, match="no tap or layer 'nothing'"):
        taps.normalization_before(model, "nothing")


def test_the_example():
    run_example(taps.normalization_before)
