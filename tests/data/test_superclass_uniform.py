import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


def test_images_of_a_batch_differ_and_come_from_all_classes_of_their_superclasses():
    superclasses = np.array([5, 5, 2, 2, 2, 9])
    labels = np.arange(60) % 6
    order = data.SuperclassUniform(superclasses, 2, 4).order(labels, 8, np.random.default_rng(0))
    batches = order.reshape(-1, 8)
    assert len(batches) == 8
    assert all(len(set(batch)) == 8 for batch in batches)
    of_superclasses = superclasses[labels[batches]].reshape(-1, 2, 4)
    assert (of_superclasses == of_superclasses[..., :1]).all()
    assert (of_superclasses[:, 0] != of_superclasses[:, 1]).all()
    turns = np.unique(of_superclasses[..., 0], return_counts=True)[1]
    assert sorted(turns) == [5, 5, 6]
    assert set(labels[order]) == set(range(6))


def test_with_a_superclass_for_each_class_it_is_class_uniform():
    labels = np.arange(60) % 6
    orders = [
        sampler.order(labels, 12, np.random.default_rng(0))
        for sampler in (data.SuperclassUniform(range(6), 4, 3), data.ClassUniform(4, 3))
    ]
    np.testing.assert_array_equal(*orders)


@pytest.mark.parametrize(
    ("arguments", "batch_size", "message"),
    [
        (([0, 0, 1, 1], 3, 2), 6, "`superclasses_per_batch` must be at most 2, the superclasses"),
        (([0, 1, 1, 1], 2, 15), 30, "`images_per_superclass` must be at most 13.*superclass 0"),
        (([0, 0, 1, 1], 2, 3), 8, "`batch_size` must be 6, 2 superclasses x 3 images"),
        (([0, 1, 0], 2, 3), 6, "one integer for each class. Received: 3 for labels up to 3"),
    ],
)
def test_sampler_that_does_not_fit_the_split(arguments, batch_size, message):
    dataset = data.Dataset("noise", small_raw(), validation_fraction=0.1)
    sampler = data.SuperclassUniform(*arguments)
    with pytest.raises(ValueError, match=message):
        dataset.sequence("train", batch_size, sampler=sampler)


@pytest.mark.parametrize("wrong", [3, [0.5, 1], ["a", "b"], [[0], [1]], []])
def test_wrong_superclasses(wrong):
    with pytest.raises(ValueError, match="`superclasses` must be a list"):
        data.SuperclassUniform(wrong, 1, 1)


def test_wrong_numbers():
    with pytest.raises(ValueError, match=r"`superclasses_per_batch` must.*=0"):
        data.SuperclassUniform([0, 1], 0, 2)
    with pytest.raises(ValueError, match=r"`images_per_superclass` must.*=0"):
        data.SuperclassUniform([0, 1], 2, 0)
