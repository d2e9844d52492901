import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


def _order(sampler, labels, seed=0):
    batch_size = sampler.classes_per_batch * sampler.images_per_class
    return sampler.order(labels, batch_size, np.random.default_rng(seed)).reshape(-1, batch_size)


@pytest.mark.parametrize(("classes", "images"), [(1, 1), (2, 3), (3, 7), (5, 2), (5, 7)])
def test_classes_and_images_of_a_batch_differ(classes, images):
    labels = np.repeat([0, 1, 2, 4, 7], [7, 12, 31, 8, 20])[
        np.random.default_rng(1).permutation(78)
    ]
    for batch in _order(data.ClassUniform(classes, images), labels):
        assert len(set(batch)) == classes * images
        of_classes = labels[batch].reshape(classes, images)
        assert (of_classes == of_classes[:, :1]).all()
        assert len(set(of_classes[:, 0])) == classes


@pytest.mark.parametrize(("classes", "images"), [(2, 3), (3, 7), (4, 5)])
def test_classes_come_equally_often_and_so_do_the_images_of_a_class(classes, images):
    labels = np.repeat([0, 1, 2, 3, 4], [7, 12, 31, 8, 20])
    order = _order(data.ClassUniform(classes, images), labels)
    assert len(order) == -(-len(labels) // (classes * images))
    turns = np.bincount(labels[order[:, ::images]].reshape(-1), minlength=5)
    assert turns.max() - turns.min() <= 1
    seen = np.bincount(order.reshape(-1), minlength=len(labels))
    for label in range(5):
        of_class = seen[labels == label]
        assert of_class.sum() == turns[label] * images
        assert of_class.max() - of_class.min() <= 1


def test_where_everything_divides_an_epoch_has_each_image_once():
    labels = np.arange(48) % 4
    order = _order(data.ClassUniform(2, 3), labels)
    assert sorted(order.reshape(-1)) == list(range(48))


def test_classes_in_every_order_and_images_are_as_likely():
    """Also where a hand ends or begins within a round."""
    labels = np.arange(18) % 3
    sampler, pairs, images = data.ClassUniform(2, 3), np.zeros((3, 3, 3)), np.zeros((3, 18))
    for seed in range(1200):
        for number, batch in enumerate(_order(sampler, labels, seed)):
            one, other = labels[batch[[0, 3]]]
            pairs[number, one, other] += 1
            images[number, batch] += 1
    assert abs(pairs[:, ~np.eye(3, dtype=bool)] - 200).max() < 5 * 200**0.5
    assert abs(images - 400).max() < 5 * 400**0.5


def test_as_many_steps_as_without_and_all_are_full():
    dataset = data.Dataset("noise", small_raw(), validation_fraction=0.1)
    for drop in (False, True):
        sequence = dataset.sequence(
            "train", 8, sampler=data.ClassUniform(4, 2), drop_remainder=drop
        )
        assert len(sequence) == dataset.steps("train", 8) == 7
        assert [len(x) for x, _ in sequence] == [8] * 7


@pytest.mark.parametrize(
    ("arguments", "batch_size", "message"),
    [
        ((5, 2), 10, "`classes_per_batch` must be at most 4, the classes of the split"),
        ((2, 14), 28, "`images_per_class` must be at most 13, the images of class 0 in the split"),
        ((2, 3), 8, "`batch_size` must be 6, 2 classes x 3 images.*batch_size=8"),
        ((2, 3), 0, "`batch_size` must be a positive integer"),
    ],
)
def test_sampler_that_does_not_fit_the_split(arguments, batch_size, message):
    dataset = data.Dataset("noise", small_raw(), validation_fraction=0.1)
    sampler = data.ClassUniform(*arguments)
    for ask in (dataset.sequence, dataset.steps):
        with pytest.raises(ValueError, match=message):
            ask("train", batch_size, sampler=sampler)


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True])
def test_wrong_numbers(wrong):
    with pytest.raises(ValueError, match=f"`classes_per_batch` must.*={wrong}"):
        data.ClassUniform(wrong, 2)
    with pytest.raises(ValueError, match=f"`images_per_class` must.*={wrong}"):
        data.ClassUniform(2, wrong)
