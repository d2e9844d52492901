"""Groups of classes that a classifier confuses, on planted confusions."""

import numpy as np
import pytest

from kzoo.trainers import confusable_classes
from tests.examples import run_example


def predictions(pairs, classes=8, images=800, share=0.4, certainty=1.0, seed=0):
    """Rows in which a class of a pair gives `share` of its probability to the other."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    other = labels.copy()
    for one, two in pairs:
        other[labels == one], other[labels == two] = two, one
    found = 0.02 * random.random((images, classes)) * (2 - certainty)
    given = share * random.random(images)
    found[np.arange(images), labels] += 1 - given
    found[np.arange(images), other] += given
    return found / found.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_planted_pairs_are_found(seed):
    pairs = ((0, 5), (1, 3), (4, 7))
    found = confusable_classes(predictions(pairs, share=0.9), num_groups=5, seed=seed)
    assert found == pairs


def test_a_temperature_finds_what_a_sure_classifier_confuses():
    pairs = ((0, 5), (1, 3), (4, 7), (2, 6))
    sure = predictions(pairs, share=0.9) ** 12
    # As a network that is trained too long: all of the mass on one class.
    sure /= sure.sum(axis=1, keepdims=True)
    assert confusable_classes(sure, 4, temperature=12.0) == tuple(sorted(pairs))


def test_a_class_alone_in_its_cluster_is_in_no_group():
    found = confusable_classes(predictions([(2, 6)], share=0.9), num_groups=7)
    assert found == ((2, 6),)
    assert all(isinstance(label, int) for group in found for label in group)


def test_the_seed_decides():
    random = np.random.default_rng(3).dirichlet(np.ones(12), 60)
    first = confusable_classes(random, 4, seed=1)
    assert confusable_classes(random, 4, seed=1) == first
    found = {confusable_classes(random, 4, seed=seed) for seed in range(10)}
    assert len(found) > 1
    labels = [label for group in first for label in group]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.eye(3)[0], r"shape \(images, classes\).*shape=\(3,\)"),
        (np.eye(3)[:1], r"two or more images.*shape=\(1, 3\)"),
        (np.eye(2), r"three or more classes.*shape=\(2, 2\)"),
        (3.0 * np.eye(4), r"rows that sum to 1.*Logits need a softmax"),
        (np.array([[1.5, -0.5, 0.0]] * 4), r"Logits need a softmax"),
        (np.full((9, 4), 0.25), "must differ between images"),
    ],
)
def test_what_are_no_predictions(values, message):
    with pytest.raises(ValueError, match=message):
        confusable_classes(values, 2)


@pytest.mark.parametrize("wrong", [0, 1, 2.0, 8])
def test_wrong_number_of_groups(wrong):
    with pytest.raises(ValueError, match=f"`num_groups` must be.*num_groups={wrong}"):
        confusable_classes(predictions([]), wrong)


def test_wrong_temperature():
    with pytest.raises(ValueError, match="`temperature` must be"):
        confusable_classes(predictions([]), 2, temperature=0.0)


def test_the_example(capsys):
    run_example(confusable_classes)
    assert capsys.readouterr().out == "((0, 3), (1, 5))\n"
