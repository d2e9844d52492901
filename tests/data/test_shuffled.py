import numpy as np

from kzoo import data

from ._files import small_raw


def test_gives_the_batches_of_shuffle():
    dataset = data.Dataset("noise", small_raw())
    shuffled = dataset.sequence("train", 10, shuffle=True, seed=2, augment="shift", first_epoch=1)
    sampled = dataset.sequence(
        "train", 10, sampler=data.Shuffled(), seed=2, augment="shift", first_epoch=1
    )
    for (x, y), (expected_x, expected_y) in zip(sampled, shuffled, strict=True):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)


def test_order_of_recorded_runs_stays():
    """Runs were recorded with this order: epoch `e` permutes with the seed `[seed, e]`."""
    dataset = data.Dataset("noise", small_raw())
    labels = dataset.raw("train")[1]
    sequence = dataset.sequence("train", 10, shuffle=True, seed=2, first_epoch=3)
    expected = np.random.default_rng([2, 3]).permutation(len(labels))
    np.testing.assert_array_equal(sequence.sample_numbers(3), expected)
    np.testing.assert_array_equal(sequence[1][1], labels[expected[10:20]])
