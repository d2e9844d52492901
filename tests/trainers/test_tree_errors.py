"""What is no tree of heads is one error at the door."""

import keras
import pytest

from kzoo.trainers import CollaborativeLearning, EnsembleDistillation
from tests.trainers.models import classifier

BOTH = pytest.mark.parametrize("trainer", [CollaborativeLearning, EnsembleDistillation])


def seeded():
    keras.utils.set_random_seed(0)
    return classifier("net")


@BOTH
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Give either `model_builder`"),
        ({"model_builder": "resnet"}, "a function without arguments"),
        ({"model_builder": keras.Sequential()}, "a function without arguments"),
        ({"model_builder": seeded, "split": [], "num_heads": []}, "one integer for each"),
        ({"model_builder": seeded, "trunk": "too"}, "Give either `model_builder`"),
        ({"trunk": "alone"}, "Give either `model_builder`"),
        ({"model_builder": seeded, "num_heads": 1}, "`num_heads` must be an integer >= 2"),
        ({"model_builder": seeded, "num_heads": [2, 1]}, "`num_heads` must be an integer >= 2"),
        ({"model_builder": seeded, "num_heads": [2, 2]}, "one integer for each"),
        ({"model_builder": seeded, "split": 3}, "`split` must be a tap or a list"),
        ({"model_builder": lambda: 3}, "can be cut. Received: 3"),
        ({"model_builder": seeded, "split": "stage9"}, "no tap or layer 'stage9'"),
        ({"model_builder": seeded}, "start with the same weights"),
    ],
)
def test_builders_that_do_not_do(trainer, given, message):
    with pytest.raises(ValueError, match=message):
        trainer(**given)


def test_a_builder_that_gives_the_same_model_again():
    model = classifier("net")
    with pytest.raises(ValueError, match="start with the same weights"):
        CollaborativeLearning(lambda: model, num_heads=2)


def part(shape=(3,), classes=2, name="part", activation=None, layers=1):
    inputs = x = keras.Input(shape)
    for _ in range(layers):
        x = keras.layers.Dense(classes, activation=activation)(x)
    return keras.Model(inputs, x, name=name)


def heads_of(*options):
    return [part(name=f"head{number}", **one) for number, one in enumerate(options)]


@BOTH
@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (lambda: heads_of({}), "two or more models"),
        (lambda: part(), "two or more models"),
        (lambda: [*heads_of({}), {"trunk": part((3,), 3), "heads": []}], "two or more models"),
        (lambda: [*heads_of({}), {"trunk": part((3,), 3)}], "is written {'trunk'"),
        (lambda: [*heads_of({}), "head"], "functional or Sequential"),
        (lambda: [*heads_of({}), keras.Sequential([keras.layers.Dense(2)])], "functional or Seq"),
        (lambda: heads_of({}, {"classes": 5}), "same classes.*'head0' has 2, 'head1' has 5"),
        (lambda: heads_of({}, {"shape": (4,)}), "'head1' must take what 'trunk' returns"),
        (lambda: heads_of({}, {"activation": "softmax"}), "All `heads` must end alike"),
        (lambda: heads_of({}) * 2, "share the variable"),
        (lambda: heads_of({}, {"layers": 0}), "'head1' has no weights"),
    ],
)
def test_trees_that_do_not_do(trainer, heads, message):
    with pytest.raises(ValueError, match=message):
        trainer(trunk=part(classes=3, name="trunk"), heads=heads())


def test_parts_with_several_inputs_or_outputs():
    inputs = keras.Input((3,))
    several = keras.Model(inputs, [keras.layers.Dense(3)(inputs), inputs], name="several")
    with pytest.raises(ValueError, match="one input and one output"):
        CollaborativeLearning(trunk=several, heads=heads_of({}, {}))


def test_heads_that_share_a_layer():
    shared, heads = keras.layers.Dense(2), []
    for name in "ab":
        given = keras.Input((3,))
        heads.append(keras.Model(given, shared(given), name=name))
    with pytest.raises(ValueError, match="share the variable"):
        CollaborativeLearning(trunk=part(classes=3, name="trunk"), heads=heads)
