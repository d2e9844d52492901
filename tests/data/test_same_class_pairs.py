import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


def _halves(sampler, labels, seed=0):
    order = sampler.order(labels, sampler.batch_size, np.random.default_rng(seed))
    assert len(order) == 2 * len(labels)
    cuts = range(0, len(order), sampler.batch_size)
    batches = [order[cut : cut + sampler.batch_size] for cut in cuts]
    halves = [np.split(batch, 2) for batch in batches]
    return [np.concatenate(half) for half in zip(*halves, strict=True)]


@pytest.mark.parametrize("batch_size", [2, 8, 10, 200])
@pytest.mark.parametrize("distinct", [True, False])
def test_each_image_once_with_one_of_its_class(batch_size, distinct):
    labels = np.random.default_rng(0).integers(0, 5, 77)
    images, partners = _halves(data.SameClassPairs(batch_size, distinct), labels)
    assert sorted(images) == list(range(77))
    np.testing.assert_array_equal(labels[images], labels[partners])
    assert (images == partners).any() != distinct


def test_partners_are_drawn_evenly():
    labels = np.repeat([0, 1, 2, 5], [4, 2, 1, 3])
    for distinct in (True, False):
        counts = np.zeros((10, 10))
        for seed in range(400):
            np.add.at(counts, tuple(_halves(data.SameClassPairs(4, distinct), labels, seed)), 1)
        allowed = labels[:, np.newaxis] == labels
        if distinct:
            allowed &= ~np.eye(10, dtype=bool)
        allowed[6, 6] = True  # the only image of its class
        expected = allowed * 400 / allowed.sum(axis=1, keepdims=True)
        assert (abs(counts - expected) <= 5 * expected**0.5).all()


def test_steps_and_last_batch():
    dataset = data.Dataset("noise", small_raw(), validation_fraction=0.1)
    sampler = data.SameClassPairs(8)
    sequence = dataset.sequence("train", 8, sampler=sampler)
    assert [len(x) for x, _ in sequence] == [8] * 13 + [4]
    for _, labels in sequence:
        np.testing.assert_array_equal(*np.split(labels, 2))
    assert dataset.steps("train", 8, sampler=sampler) == 14
    assert dataset.steps("train", 8, sampler=sampler, drop_remainder=True) == 13


@pytest.mark.parametrize("wrong", [0, 1, 7, 8.0])
def test_wrong_batch_size(wrong):
    with pytest.raises(ValueError, match=f"`batch_size` must be .*batch_size={wrong}"):
        data.SameClassPairs(wrong)


def test_batch_size_of_the_batches_must_be_the_same():
    dataset = data.Dataset("noise", small_raw())
    with pytest.raises(ValueError, match=r"must be 8, that of SameClassPairs\(batch_size=8.*=16"):
        dataset.sequence("train", 16, sampler=data.SameClassPairs(8))
