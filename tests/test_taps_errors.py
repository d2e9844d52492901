"""What the taps say about names that are wrong and models that cannot be read."""

import keras
import pytest
from keras import layers

from kzoo import taps
from tests.helpers import random_array
from tests.taps_models import Subclassed, plain_net


def test_unknown_names_are_answered_with_the_nearest_and_the_valid_ones():
    model = plain_net([layers.GlobalAveragePooling2D(), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"'stage22'.*'stage2'.*stage1 \(None, 16, 12, 4\)"):
        taps.extractor(model, "stage22")
    with pytest.raises(ValueError, match="Did you mean 'two_relu'"):
        taps.extractor(model, ["stage1", "two_rely"])
    inputs = keras.Input((16, 12, 1))
    nested = keras.Model(inputs, plain_net()(inputs))
    with pytest.raises(ValueError, match="Did you mean 'plain/two_relu'"):
        taps.extractor(nested, "plain/two_rule")


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        ("head:2", "is called 1 times, so write 'head:0'"),
        ("head:post", "A tap is written 'name'"),
        ("unused", "'unused' takes no part"),
        ([], "must be a name or a list of names"),
        ([3], "must be a name or a list of names"),
    ],
)
def test_bad_spellings(tap, message):
    model = Subclassed()
    model(random_array(2, 8, 8, 1))
    with pytest.raises(ValueError, match=message):
        taps.extractor(model, tap)


def test_models_that_cannot_be_read_yet():
    with pytest.raises(ValueError, match="'early' has no known input shape"):
        taps.available(Subclassed(name="early"))
    with pytest.raises(ValueError, match="'lazy' has no known input shape"):
        taps.available(keras.Sequential([layers.Dense(3)], name="lazy"))
    with pytest.raises(ValueError, match=r"must be a keras\.Model"):
        taps.available(layers.Dense(3))


def test_layers_that_share_a_name_are_refused():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.pair = [layers.Dense(3, name="twin"), layers.Dense(3, name="twin")]

        def call(self, inputs):
            return self.pair[1](self.pair[0](inputs))

    model = Twins()
    model(random_array(2, 3))
    with pytest.raises(ValueError, match="Several layers are called 'twin'"):
        taps.extractor(model, "twin")
    assert list(taps.available(model, layers=True)) == ["pooled", "logits"]


def test_layers_with_several_outputs_are_no_tap():
    inputs = keras.Input((4, 2))
    outputs = layers.LSTM(3, return_state=True, name="many")(inputs)
    with pytest.raises(ValueError, match="'many' returns 3 tensors, a tap is one"):
        taps.extractor(keras.Model(inputs, outputs), "many")
