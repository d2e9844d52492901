import warnings

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import applications, taps
from kzoo.testing.subjects import numpy
from tests.examples import run_example


def images(shape=(2, 28, 28, 1)):
    return np.random.default_rng(0).random(shape).astype("float32")


def resnet():
    keras.utils.set_random_seed(0)
    return applications.ResNet(depth=8, filters=4, input_shape=(28, 28, 1))


def test_pieces_run_in_order_are_the_model():
    model, x = resnet(), images()
    pieces = taps.cut(model, ["stage1", "stage2"])
    found = x
    for piece in pieces:
        found = piece(found)
    np.testing.assert_array_equal(numpy(found), numpy(model(x)))
    assert pieces[0].output_shape == taps.available(model)["stage1"]
    assert pieces[1].output_shape == taps.available(model)["stage2"]
    theirs = [id(v) for piece in pieces for v in piece.trainable_variables]
    assert sorted(theirs) == sorted(id(v) for v in model.trainable_variables)


def test_joined_pieces_are_flat_and_share_the_weights(tmp_path):
    model, x = resnet(), images()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = taps.join(taps.cut(model, "stage2"), name="again")
    assert joined.name == "again"
    assert [layer.name for layer in joined.layers] == [layer.name for layer in model.layers]
    assert joined.trainable_variables[0] is model.trainable_variables[0]
    assert taps.available(joined) == taps.available(model)
    joined.save(tmp_path / "joined.keras")
    loaded = keras.saving.load_model(tmp_path / "joined.keras")
    np.testing.assert_allclose(numpy(loaded(x)), numpy(model(x)), rtol=1e-6)


def test_a_second_cut_of_the_same_model_is_not_confused_by_the_first():
    model, x = resnet(), images()
    joined = taps.join(taps.cut(model, "stage1"))
    again = taps.join(taps.cut(joined, "stage2"))
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))
    np.testing.assert_array_equal(numpy(taps.join(taps.cut(model, "stage1"))(x)), numpy(model(x)))


def test_what_cannot_be_cut_is_one_error():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4, name="hidden")(inputs)
    skip = keras.Model(inputs, keras.layers.Add()([hidden, inputs]), name="skip")
    with pytest.raises(ValueError, match="behind 'hidden' something also reads"):
        taps.cut(skip, "hidden")
    with pytest.raises(ValueError, match="no tap or layer 'stage9'"):
        taps.cut(resnet(), "stage9")
    with pytest.raises(ValueError, match="taps are not in order"):
        taps.cut(resnet(), ["stage2", "stage1"])
    nested = keras.Sequential([keras.Input((28, 28, 1)), resnet()], name="outer")
    with pytest.raises(ValueError, match="inside of a layer"):
        taps.cut(nested, "stage1")

    class Subclassed(keras.Model):
        def call(self, x):
            return ops.sum(x, axis=-1)

    with pytest.raises(ValueError, match="Only a functional or Sequential"):
        taps.cut(Subclassed(), "hidden")


@pytest.mark.parametrize("function", [taps.cut, taps.join])
def test_examples(function):
    run_example(function)
