"""Heads on a shared tree: how it is cut, read, trained, saved and taken apart again."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import applications, taps
from kzoo.testing.subjects import numpy, sub_layers
from kzoo.trainers import CollaborativeLearning, EnsembleDistillation
from kzoo.trainers import _tree as module
from kzoo.trainers._tree import Tree, shared_gradient
from tests.trainers.models import classifier, equal, images, values
from tests.trainers.trees import (
    X,
    by_labels,
    check_step,
    eager,
    fitted,
    kernels,
    logits,
    trained,
    tree,
    weights,
)

TASK = "sparse_categorical_crossentropy"
BOTH = pytest.mark.parametrize("trainer", [CollaborativeLearning, EnsembleDistillation])


@keras.saving.register_keras_serializable("kzoo_tests")
class Counted(keras.layers.Layer):
    """Counts how often it runs."""

    runs = 0

    def call(self, x):
        Counted.runs += 1
        return x


def builder(filters=4, **options):
    def build():
        return applications.ResNet(
            8, filters=filters, input_shape=(8, 8, 1), classes=3, name="net", **options
        )

    return build


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_shared_tensor_is_the_same_bit_for_bit(dtype):
    random = np.random.default_rng(0)
    x = (random.normal(size=1000) * 10.0 ** random.integers(-4, 4, 1000)).astype(dtype)
    for children in (2, 3, 7):
        np.testing.assert_array_equal(numpy(shared_gradient(ops.convert_to_tensor(x), children)), x)


@pytest.mark.parametrize("counts", [(3,), (2, 3), (2, 2, 2)])
def test_each_split_divides_the_gradient_by_its_children(counts, monkeypatch):
    given = weights(*counts)
    rescaled = CollaborativeLearning(**tree(given), beta=1.0)
    check_step(rescaled, given, [by_labels(z) for z in logits(given, X)], rescale=True)
    monkeypatch.setattr(module, "shared_gradient", lambda x, children: x)
    plain = CollaborativeLearning(**tree(given), beta=1.0)
    fitted(plain)
    moved = zip(trained(rescaled), trained(plain), kernels(given), strict=True)
    ratios = [(a - start) / (b - start) for a, b, start in moved]
    wanted = [1 / np.prod(counts[level:]) for level in _levels(counts)]
    for ratio, expected in zip(ratios, wanted, strict=True):
        np.testing.assert_allclose(ratio, np.full_like(ratio, expected), rtol=2e-3)


def _levels(counts, level=0):
    """The level of each segment, in order."""
    yield level
    if level < len(counts):
        for _ in range(counts[level]):
            yield from _levels(counts, level + 1)


@pytest.mark.parametrize("kind", ["regularizer", "weight decay", "activity"])
def test_penalties_are_not_rescaled(kind):
    """They move trunk and heads by what they ask for, not by a part of it."""
    given, ends = weights(2), []
    for strength in (0.05, 0.1):
        trainer = CollaborativeLearning(**tree(given))
        trunk = trainer.trunk.layers[-1]
        decay = strength if kind == "weight decay" else None
        for layer in (trunk, *(head.layers[-1] for head in trainer.heads)):
            if kind == "regularizer":
                layer.kernel.regularizer = keras.regularizers.L2(strength)
        if kind == "activity":
            trunk.activity_regularizer = keras.regularizers.L2(strength)
        fitted(trainer, optimizer=keras.optimizers.SGD(0.1, weight_decay=decay))
        ends.append(trained(trainer))
    by_kernel = {
        "regularizer": [0.1 * 2 * 0.05 * start for start in kernels(given)],
        "weight decay": [0.1 * 0.05 * start for start in kernels(given)],
        "activity": [0.1 * 2 * 0.05 * X.T @ (X @ given[0]) / 4, 0.0, 0.0],
    }
    for weak, strong, wanted in zip(*ends, by_kernel[kind], strict=True):
        np.testing.assert_allclose(weak - strong, wanted + 0 * weak, atol=2e-6)


@BOTH
def test_equal_heads_move_the_trunk_like_the_network_alone(trainer):
    keras.utils.set_random_seed(1)
    model = classifier("alone")
    trunk, head = taps.cut(keras.models.clone_model(model), "stage1")
    heads = [head, keras.models.clone_model(head)]
    group = trainer(trunk=trunk, heads=heads, **({"beta": 1.0} if "Coll" in str(trainer) else {}))
    pieces = taps.cut(model, "stage1")
    trunk.set_weights(pieces[0].get_weights())
    for one in heads:
        one.set_weights(pieces[1].get_weights())
    x, y = images()
    for one in (model, group):
        one.compile(keras.optimizers.SGD(0.5), TASK, run_eagerly=eager())
        one.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for found, wanted in zip(values(trunk.weights), values(pieces[0].weights), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(*(one.get_weights()[0] for one in heads))


def test_each_segment_runs_once():
    def counted(name, classes):
        inputs = keras.Input((3,))
        outputs = keras.layers.Dense(classes, name="dense")(Counted(name="counted")(inputs))
        return keras.Model(inputs, outputs, name=name)

    pairs = [{"trunk": counted(n, 3), "heads": [counted(n + m, 2) for m in "cd"]} for n in "ab"]
    found = Tree(counted("trunk", 3), pairs)
    Counted.runs = 0
    assert len(found.read(ops.ones((2, 3)), False, rescale=True)) == 4
    assert Counted.runs == 7


@BOTH
def test_one_head_is_the_plain_network(trainer):
    group, plain = trainer(builder(), num_heads=3), builder()()
    x = np.random.default_rng(0).random((4, 8, 8, 1)).astype("float32")
    scores = group.scores(x)
    heads = {name: model for name, model in group.classifiers.items() if name != "ensemble"}
    assert list(heads) == ["head1", "head2", "head3"]
    for name, model in heads.items():
        assert type(model).__module__.startswith("keras.")
        assert [layer.name for layer in model.layers] == [layer.name for layer in plain.layers]
        assert model.count_params() == plain.count_params()
        assert taps.available(model) == taps.available(plain)
        assert model.trainable_variables[0] is group.trunk.trainable_variables[0]
        np.testing.assert_array_equal(numpy(model(x)), numpy(scores[name]))
    shared = {id(v) for model in heads.values() for v in model.trainable_variables}
    assert shared == {id(v) for v in group.trainable_variables}
    outputs = [numpy(model(x)) for model in heads.values()]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_the_builder_is_called_once_for_each_head_and_gives_the_trunk_first():
    made = []

    def build():
        made.append(classifier(f"net{len(made)}"))
        return made[-1]

    group = CollaborativeLearning(build, num_heads=[2, 2], split=["stage1", "stage2"])
    assert len(made) == 4
    owners = [
        [
            number
            for variable in model.trainable_variables
            for number, one in enumerate(made)
            if any(variable is v for v in one.trainable_variables)
        ]
        for model in group.classifiers.values()
    ]
    # conv1, norm1; conv2, norm2; logits
    assert owners == [[0] * 10, [0] * 8 + [1] * 2, [0] * 4 + [2] * 6, [0] * 4 + [2] * 4 + [3] * 2]


@BOTH
def test_a_tree_of_two_levels_is_saved_and_goes_on(trainer, tmp_path):
    x, y = images()
    # Under torch, Keras' dropout draws from a global generator, which no file holds.
    dropout = 0.0 if keras.backend.backend() == "torch" else 0.2

    def build():
        return classifier("net", dropout=dropout)

    group = trainer(build, num_heads=[2, 2], split=["stage1", "stage2"], name="group")
    group.compile("adam", TASK, metrics=["accuracy"], run_eagerly=eager())
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    group.fit(x, y, **options)
    group.save(tmp_path / "group.keras")
    loaded = keras.saving.load_model(tmp_path / "group.keras")
    assert [layer.name for layer in sub_layers(loaded)] == [
        layer.name for layer in sub_layers(group)
    ]
    assert equal(values(loaded.variables), values(group.variables))
    for one in (group, loaded):
        one.fit(x, y, **options)
    for name, found in loaded.scores(x).items():
        np.testing.assert_allclose(numpy(found), numpy(group.scores(x)[name]), atol=1e-5)
    trunk = loaded.trunk.trainable_variables[0]
    models = loaded.classifiers
    assert all(m.trainable_variables[0] is trunk for m in models.values())
    assert len({id(m.trainable_variables[4]) for n, m in models.items() if n != "ensemble"}) == 2


def test_weights_are_saved_once():
    group = EnsembleDistillation(
        lambda: classifier("net"), num_heads=[2, 2], split=["stage1", "stage2"]
    )
    assert len(group.variables) == len({id(v) for v in group.variables})
    own = [v for v in group.weights if v.name != "seed_generator_state"]
    assert len(own) == 6 + 2 * 6 + 4 * 2


def test_a_frozen_trunk_stays_as_it_is():
    group = CollaborativeLearning(lambda: classifier("net"), num_heads=2, split="stage1")
    group.trunk.trainable = False
    x, y = images()
    group.compile(keras.optimizers.SGD(0.5), TASK, run_eagerly=eager())
    trunk, heads = group.trunk, group.heads
    before = values(trunk.weights), values(heads[0].weights)
    group.fit(x, y, verbose=0)
    assert equal(values(trunk.weights), before[0])
    assert not equal(values(heads[0].weights), before[1])
