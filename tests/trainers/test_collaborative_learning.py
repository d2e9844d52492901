"""Collaborative learning against its formula in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.data import batch_keys
from kzoo.testing.subjects import numpy
from kzoo.trainers import CollaborativeLearning
from tests.trainers.models import classifier, equal, images, values
from tests.trainers.trees import (
    LOSS,
    X,
    Y,
    by_labels,
    check_step,
    cross_entropy,
    eager,
    fitted,
    logits,
    softmax,
    trained,
    tree,
    weights,
)


def consensus(found, index, temperature):
    """The soft labels of one head."""
    others = [z for number, z in enumerate(found) if number != index]
    return softmax(np.mean(others, axis=0) / temperature)


def soft_loss(found, index, temperature, variant):
    """One value a sample."""
    wanted = consensus(found, index, temperature)
    log_own = np.log(softmax(found[index] / temperature))
    if variant == "paper":
        return -np.sum(wanted * log_own, axis=-1)
    return temperature**2 * np.sum(wanted * (np.log(wanted) - log_own), axis=-1)


def by_logits(found, temperature, beta, variant):
    """Gradients of the loss by each head's logits, with constant soft labels."""
    scale = {"paper": 1 / temperature, "reference": temperature}[variant]
    soft = [
        scale * (softmax(z / temperature) - consensus(found, index, temperature)) / len(Y)
        for index, z in enumerate(found)
    ]
    return [beta * by_labels(z) + (1 - beta) * s for z, s in zip(found, soft, strict=True)]


@pytest.mark.parametrize("variant", ["paper", "reference"])
@pytest.mark.parametrize(
    ("counts", "temperature", "beta"), [((2,), 2.0, 0.5), ((3,), 3.0, 0.2), ((2, 2), 1.5, 0.0)]
)
def test_a_step_is_the_formula(counts, temperature, beta, variant):
    given = weights(*counts)
    options = {"temperature": temperature, "beta": beta, "variant": variant}
    trainer = CollaborativeLearning(**tree(given), **options)
    found = logits(given, X)
    # The gradients hold the soft labels constant, and are those of each head's own loss.
    history = check_step(trainer, given, by_logits(found, temperature, beta, variant), rescale=True)
    task = beta * sum(np.mean(cross_entropy(z)) for z in found)
    soft = sum(np.mean(soft_loss(found, i, temperature, variant)) for i in range(len(found)))
    soft *= 1 - beta
    np.testing.assert_allclose(history["loss"][0], task + soft, rtol=1e-5)
    np.testing.assert_allclose(history["consensus"][0], soft, rtol=1e-5)
    assert ("task_loss" in history) == (beta > 0)
    if beta > 0:
        np.testing.assert_allclose(history["task_loss"][0], task, rtol=1e-5)


def test_the_own_head_is_no_part_of_its_consensus():
    """With two heads each learns from the other alone, whatever it says itself."""
    found = [ops.convert_to_tensor(z, "float32") for z in logits(weights(2), X)]
    trainer = CollaborativeLearning(**tree(weights(2)), variant="reference")
    moved = trainer._consensus([found[0] + 3.0 * found[1], found[1]], 0)
    wanted = softmax(numpy(found[1]) / 2.0)
    own = softmax((numpy(found[0]) + 3.0 * numpy(found[1])) / 2.0)
    expected = 4.0 * np.sum(wanted * (np.log(wanted) - np.log(own)), axis=-1)
    np.testing.assert_allclose(numpy(moved), expected, rtol=1e-4)
    np.testing.assert_allclose(numpy(trainer._consensus([found[1]] * 2, 0)), 0.0, atol=1e-6)


def test_only_the_labels():
    given = weights(2)
    history = fitted(CollaborativeLearning(**tree(given), beta=1.0))
    assert "consensus" not in history
    task = sum(np.mean(cross_entropy(z)) for z in logits(given, X))
    np.testing.assert_allclose(history["loss"][0], task, rtol=1e-5)


def test_the_consensus_of_each_sample_has_its_weight():
    given, beta = weights(3), 0.3
    trainer = CollaborativeLearning(**tree(given), beta=beta)
    sample_weight = np.array([2.0, 0.0, 1.0, 0.5])
    history = fitted(trainer, sample_weight=sample_weight)
    found = logits(given, X)
    soft = sum(soft_loss(found, index, 2.0, "paper") for index in range(3))
    expected = (1 - beta) * np.mean(sample_weight * soft)
    np.testing.assert_allclose(history["consensus"][0], expected, rtol=1e-5)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_heads_with_a_softmax_learn_the_same(variant):
    given, ends = weights(2), []
    for softmax_at_end, loss in ((False, LOSS), (True, "sparse_categorical_crossentropy")):
        trainer = CollaborativeLearning(**tree(given, softmax_at_end), variant=variant)
        fitted(trainer, epochs=3, loss=loss)
        ends.append(trained(trainer))
    for first, second in zip(*ends, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_large_logits_are_finite():
    given = weights(2)
    large = (given[0] * 1e3, [head * 1e3 for head in given[1]])
    for variant in ("paper", "reference"):
        trainer = CollaborativeLearning(**tree(large), variant=variant)
        fitted(trainer)
        assert all(np.isfinite(found).all() for found in trained(trainer))


def group(**options):
    trainer = CollaborativeLearning(lambda: classifier("net"), num_heads=2, **options)
    loss = "sparse_categorical_crossentropy"
    trainer.compile("adam", loss, metrics=["accuracy"], run_eagerly=eager())
    return trainer


def test_one_head_comes_out():
    x, y = images()
    trainer = group()
    logs = trainer.evaluate(x, y, verbose=0, return_dict=True)
    assert logs.keys() == {
        "loss",
        "accuracy",
        "head1_accuracy",
        "head2_accuracy",
        "ensemble_accuracy",
    }
    assert trainer.student is trainer.classifiers["head1"]
    np.testing.assert_array_equal(trainer.predict(x, verbose=0), numpy(trainer.student(x)))
    np.testing.assert_allclose(logs["accuracy"], logs["head1_accuracy"])
    for right in (0, 1):
        for number, head in enumerate(trainer.heads):
            bias = 50.0 * np.eye(3)[1 if number == right else 2]
            head.get_layer("logits").bias.assign(bias)
        logs = trainer.evaluate(x, np.ones(8), verbose=0, return_dict=True)
        assert logs[f"head{right + 1}_accuracy"] == 1.0
        assert logs[f"head{2 - right}_accuracy"] == 0.0
        assert trainer.best() is trainer.classifiers[f"head{right + 1}"]
        assert trainer.student is trainer.classifiers["head1"]


def test_fit_is_the_same_again_and_takes_the_batches_of_kzoo():
    (x, y), ends = images(), []
    batch = {batch_keys.INPUTS: x, batch_keys.SAMPLE_INDEX: np.arange(8)}
    for given in (x, x, batch):
        keras.utils.set_random_seed(3)
        trainer = group()
        trainer.fit(given, y, batch_size=4, shuffle=False, epochs=2, verbose=0)
        ends.append(values(trainer.trainable_variables))
    assert equal(ends[0], ends[1])
    assert equal(ends[0], ends[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -0.1}, "`beta` must be a finite number >= 0 and <= 1. Received: beta=-0.1"),
        ({"beta": 1.1}, "`beta` must be a finite number >= 0 and <= 1"),
        ({"temperature": 0}, "`temperature` must be a finite number > 0"),
        ({"variant": "code"}, "`variant` must be one of"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        CollaborativeLearning(**tree(weights(2)), **options)
