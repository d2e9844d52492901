"""Class-wise self-distillation: its formula in NumPy, and what the second half must not do."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import data
from kzoo.losses import SoftTargets
from kzoo.trainers import ClassWiseSelfDistillation
from tests.trainers.models import classifier, equal, images, values
from tests.trainers.pairs import (
    WEIGHTS,
    Penalty,
    X,
    Y,
    compiled,
    cross_entropy,
    divergence,
    eager,
    exact,
    expect_gradients,
    forward,
    furthest,
    gradients,
    network,
    on_digits,
    plain,
    step,
)

SPARSE = "sparse_categorical_crossentropy"


def terms(weights, taught=None, temperature=4.0, of=1.0):
    """Both terms without their weights; `taught` are logits of x', by default those of now."""
    logits = forward(weights, X[:4])[1]
    taught = forward(weights, X[4:])[1] if taught is None else taught
    found = np.mean(divergence(taught, logits, temperature) * of)
    return cross_entropy(logits, Y[:4], of), found


@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_that_of_the_formula(weighted):
    of = WEIGHTS[:4].astype("float64") if weighted else 1.0
    trainer = compiled(ClassWiseSelfDistillation(network(), 2.0, weight=0.7, task_weight=0.4))
    start = exact(trainer.trainable_variables)
    taught = forward(start, X[4:])[1]
    logs, found = step(trainer, sample_weight=WEIGHTS if weighted else None)

    def loss(weights, taught=taught):
        task, mutual = terms(weights, taught, 2.0, of)
        return 0.4 * task + 0.7 * mutual

    expect_gradients(found, gradients(loss, start))
    task, mutual = terms(start, taught, 2.0, of)
    np.testing.assert_allclose(logs["task_loss"], 0.4 * task, rtol=1e-5)
    np.testing.assert_allclose(logs["class_wise"], 0.7 * mutual, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], 0.4 * task + 0.7 * mutual, rtol=1e-5)
    # The same with a gradient through x' is another step, so the first comparison can tell.
    through = gradients(lambda weights: loss(weights, None), start)
    assert furthest(found, through) > 1e-2


def test_the_term_is_that_of_soft_targets_on_the_same_logits():
    model = network()
    logits = ops.convert_to_tensor(ops.convert_to_numpy(model(X)))
    losses = SoftTargets(temperature=3.0)(logits[4:], logits[:4])
    expected = float(ops.mean(losses))
    logs, _ = step(compiled(ClassWiseSelfDistillation(model, temperature=3.0)))
    np.testing.assert_allclose(logs["class_wise"], expected, rtol=1e-5)


def test_labels_and_weights_of_the_second_half_are_not_in_the_loss():
    found = []
    for y, sample_weight in (
        (Y, WEIGHTS),
        (np.r_[Y[:4], [1, 1, 1, 1]], np.r_[WEIGHTS[:4], [0, 5, 0, 5]]),
    ):
        trainer = compiled(ClassWiseSelfDistillation(network()))
        logs, _ = step(trainer, y=y, sample_weight=sample_weight.astype("float32"))
        found.append((logs["loss"], values(trainer.trainable_variables)))
    assert found[0][0] == found[1][0]
    assert equal(found[0][1], found[1][1])


def test_the_halves_have_batch_statistics_of_their_own():
    norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name="norm")
    trainer = compiled(ClassWiseSelfDistillation(plain(norm)))
    kernel, bias = exact(trainer.model.get_layer("logits").weights)
    logs, _ = step(trainer)
    first, second = X[:4].astype("float64"), X[4:].astype("float64")

    def logits(x, of):
        return (x - of.mean(0)) / np.sqrt(of.var(0) + 1e-3) @ kernel + bias

    apart = np.mean(divergence(logits(second, second), logits(first, first), 4.0))
    together = np.mean(divergence(logits(second, X), logits(first, X), 4.0))
    np.testing.assert_allclose(logs["class_wise"], apart, rtol=1e-4)
    assert abs(together - apart) > 1e-2 * apart
    moved = 0.9 * 0.1 * second.mean(0) + 0.1 * first.mean(0)
    np.testing.assert_allclose(exact([norm.moving_mean])[0], moved, rtol=1e-5, atol=1e-7)


def test_losses_that_layers_add_are_those_of_the_first_half():
    trainer = compiled(ClassWiseSelfDistillation(plain(Penalty())))
    logs, _ = step(trainer)
    np.testing.assert_allclose(logs["regularization"], 1.5 * X[:4].sum(), rtol=1e-5)


def test_compiled_metrics_are_those_of_the_whole_batch():
    model = network()
    y = np.argmax(ops.convert_to_numpy(model(X)), -1)
    y[[4, 6]] = (y[[4, 6]] + 1) % 3
    logs, _ = step(compiled(ClassWiseSelfDistillation(model), metrics=["accuracy"]), y=y)
    assert logs["accuracy"] == 0.75


@pytest.mark.parametrize("one_hot", [False, True])
def test_batches_without_pairs_give_a_warning(one_hot):
    y = np.array([0, 1, 2, 0, 0, 1, 0, 1])
    given = np.eye(3, dtype="float32")[y] if one_hot else y
    loss = keras.losses.CategoricalCrossentropy(from_logits=True) if one_hot else None
    options = {"loss": loss} if one_hot else {}
    trainer = compiled(ClassWiseSelfDistillation(network()), **options)
    with pytest.warns(UserWarning, match=r"Only 50.0% of the pairs .*SameClassPairs"):
        history = trainer.fit(X, given, batch_size=8, shuffle=False, verbose=0).history
    assert history["same_class"] == [0.5]


def test_a_term_may_be_left_out():
    logs, _ = step(compiled(ClassWiseSelfDistillation(network(), weight=0.0)))
    assert "class_wise" not in logs
    logs, _ = step(compiled(ClassWiseSelfDistillation(network(), task_weight=0.0)))
    assert "task_loss" not in logs
    logs, _ = step(compiled(ClassWiseSelfDistillation(network()), loss=None))
    assert set(logs) == {"loss", "class_wise", "same_class"}


def test_an_odd_batch_is_an_error():
    trainer = compiled(ClassWiseSelfDistillation(network()))
    with pytest.raises(ValueError, match=r"ClassWiseSelfDistillation .* a batch of 7.*SameClass"):
        trainer.fit(X[:7], Y[:7], batch_size=7, verbose=0)
    assert trainer.predict(X[:7], verbose=0).shape == (7, 3)
    trainer.evaluate(X[:7], Y[:7], verbose=0)


@pytest.mark.tensorflow
def test_an_odd_batch_of_unknown_size_is_an_error_too():
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)
    trainer = compiled(ClassWiseSelfDistillation(network()), run_eagerly=False, jit_compile=False)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"ClassWiseSelfDistillation needs batches of two halves.*SameClass",
    ):
        trainer.fit(batches, shuffle=False, verbose=0)


def digits(**options):
    dataset = data.load("digits", train_size=64)
    return dataset.sequence("train", 24, sampler=data.SameClassPairs(24), seed=1, **options)


def student_on_digits(**options):
    options = {"metrics": ["accuracy"], **options}
    trainer = ClassWiseSelfDistillation(on_digits())
    return compiled(trainer, keras.optimizers.Adam(3e-3), **options)


def test_digits_in_pairs():
    trainer = student_on_digits()
    dataset = data.load("digits", train_size=64)
    options = {"validation_data": dataset.arrays("validation"), "shuffle": False, "verbose": 0}
    history = trainer.fit(digits(), epochs=3, **options).history
    assert history["same_class"] == [1.0, 1.0, 1.0]
    assert history["loss"][-1] < history["loss"][0]
    assert all(value > 0.0 for value in history["class_wise"])
    for epoch in range(3):
        total = history["task_loss"][epoch] + history["class_wise"][epoch]
        assert history["loss"][epoch] == pytest.approx(total, rel=1e-5)
    assert not {"val_class_wise", "val_same_class"} & set(history)
    assert trainer.student is trainer.model


@pytest.mark.tensorflow
def test_a_pipeline_of_pairs_in_graph_mode():
    """64 images are five batches of 12 pairs and one of 4: batches of unknown size."""
    dataset = data.load("digits", train_size=64)
    batches = dataset.pipeline("train", 24, sampler=data.SameClassPairs(24), seed=1)
    assert batches.element_spec[0].shape[0] is None
    graph = student_on_digits(run_eagerly=False, jit_compile=False)
    found = graph.fit(batches, shuffle=False, verbose=0).history
    expected = student_on_digits().fit(digits(), shuffle=False, verbose=0).history
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name


def test_training_is_deterministic_and_resumes(tmp_path):
    def trained(epochs, trainer=None, first_epoch=0):
        trainer = trainer or student_on_digits()
        batches = digits(first_epoch=first_epoch)
        trainer.fit(batches, shuffle=False, epochs=epochs, verbose=0)
        return trainer

    whole, half, again = trained(2), trained(1), trained(1)
    assert equal(values(half.variables), values(again.variables))
    half.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    loaded.run_eagerly = eager()
    assert isinstance(loaded, ClassWiseSelfDistillation)
    trained(1, loaded, first_epoch=1)
    pairs = zip(values(loaded.variables), values(whole.variables), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_scheduled_weight_may_begin_with_zero(tmp_path):
    weight = keras.optimizers.schedules.PolynomialDecay(0.0, 4, 2.0)
    trainer = compiled(ClassWiseSelfDistillation(network(), 3.0, weight, 0.5))
    logs = trainer.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0).history
    assert logs["class_wise"][0] == 0.0 < logs["class_wise"][1]
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert (loaded.temperature, loaded.task_weight) == (3.0, 0.5)
    assert loaded.weight.get_config() == weight.get_config()


def test_a_model_that_is_not_built_is_built_by_fit():
    model = keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(3)])
    trainer = compiled(ClassWiseSelfDistillation(model))
    trainer.fit(
        {"inputs": X, "sample_index": np.arange(8)}, Y, batch_size=8, shuffle=False, verbose=0
    )
    assert trainer.predict(X, verbose=0).shape == (8, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet"}, "`model` must be a keras.Model"),
        ({"temperature": 0.0}, "temperature"),
        ({"weight": -1.0}, "`weight` must be"),
        ({"task_weight": "much"}, "`task_weight` must be"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ClassWiseSelfDistillation(**{"model": network(), **options})


def test_image_batches_of_the_battery_are_pairs():
    """Images with the same labels in both halves give no warning."""
    x, _ = images(8)
    trainer = compiled(ClassWiseSelfDistillation(classifier("student")), loss=SPARSE)
    logs = trainer.fit(x, np.tile([0, 1, 2, 0], 2), batch_size=8, shuffle=False, verbose=0).history
    assert logs["same_class"] == [1.0]
