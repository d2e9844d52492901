"""Which variables a tap depends on."""

import keras
import pytest

from kzoo import taps
from kzoo.applications import DenseNetBC, ResNet
from tests.examples import run_example


def layers_before(model, *names):
    return {v.path.split("/")[-2] for v in taps.variables_before(model, names)}


def test_of_a_chain_all_up_to_the_tap():
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(2, 3, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="head")(x))
    assert layers_before(model, "first") == {"first"}
    assert layers_before(model, "first:pre") == {"first"}
    assert layers_before(model, "second") == {"first", "second"}
    assert layers_before(model, "first", "second") == {"first", "second"}
    assert layers_before(model, "pooled") == {"first", "second"}
    assert layers_before(model, "logits") == {"first", "second", "head"}


def test_a_branch_that_the_tap_does_not_read_is_left_out():
    inputs = keras.Input((4,))
    left = keras.layers.Dense(3, name="left")(inputs)
    right = keras.layers.Dense(3, name="right")(inputs)
    both = keras.layers.Add(name="sum")([left, right])
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(both))
    assert layers_before(model, "left") == {"left"}
    assert layers_before(model, "sum") == {"left", "right"}


@pytest.mark.parametrize(
    "model",
    [ResNet(8, filters=2, input_shape=(8, 8, 1)), DenseNetBC(10, 2, input_shape=(8, 8, 1))],
    ids=lambda model: model.name,
)
def test_stages_of_the_zoo_contain_each_other_and_leave_the_head_alone(model):
    found = [taps.variables_before(model, [f"stage{n}"]) for n in (1, 2, 3)]
    sizes = [len(variables) for variables in found]
    assert 0 < sizes[0] < sizes[1] < sizes[2] < len(model.trainable_variables)
    head = {id(v) for v in model.get_layer("logits").variables}
    assert not head & {id(v) for v in found[2]}
    order = [id(v) for v in model.trainable_variables]
    places = [order.index(id(v)) for v in found[2]]
    assert places == sorted(places)


def test_a_nested_model():
    inner = ResNet(8, filters=2, input_shape=(8, 8, 1), include_top=False, name="inner")
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(inner(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    assert layers_before(model, "inner/stage3") == {
        v.path.split("/")[-2] for v in inner.trainable_variables
    }


def test_where_tensors_meet_outside_of_layers_all_that_ran_before_counts():
    class Sum(keras.Model):
        def __init__(self):
            super().__init__()
            self.left = keras.layers.Dense(3, name="left")
            self.right = keras.layers.Dense(3, name="right")
            self.head = keras.layers.Dense(2, name="head")
            self.last = keras.layers.Dense(2, name="last")

        def call(self, x):
            return self.last(self.head(self.left(x) + self.right(x)))

    model = Sum()
    model(keras.ops.ones((2, 4)))
    assert layers_before(model, "head") == {"left", "right", "head"}


def test_example_and_unknown_name():
    run_example(taps.variables_before)
    with pytest.raises(ValueError, match="stage9"):
        taps.variables_before(ResNet(8, filters=2, input_shape=(8, 8, 1)), ["stage9"])
