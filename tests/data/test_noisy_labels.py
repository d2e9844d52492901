import numpy as np
import pytest

from kzoo import data
from tests.examples import run_example


def test_a_share_of_the_training_labels_is_wrong_and_nothing_else():
    clean = data.load("digits")
    noisy = data.noisy_labels(clean, 0.4, seed=3)
    before, after = clean.arrays("train"), noisy.arrays("train")
    wrong = before[1] != after[1]
    assert wrong.sum() == round(0.4 * len(wrong))
    np.testing.assert_array_equal(before[0], after[0])
    for split in ("validation", "test"):
        np.testing.assert_array_equal(clean.arrays(split)[1], noisy.arrays(split)[1])
    assert noisy.spec == clean.spec
    np.testing.assert_array_equal(before[1], data.load("digits").arrays("train")[1])


def test_every_other_class_is_equally_likely():
    noisy = data.noisy_labels(data.load("digits"), 1.0)
    shift = (noisy.arrays("train")[1] - data.load("digits").arrays("train")[1]) % 10
    counts = np.bincount(shift, minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 0.6 * counts[1:].mean()


def test_the_seed_decides_and_batches_have_the_wrong_labels():
    clean = data.load("digits", train_size=60)
    one, again, other = (data.noisy_labels(clean, 0.5, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.arrays("train")[1], again.arrays("train")[1])
    assert (one.arrays("train")[1] != other.arrays("train")[1]).any()
    batch = one.sequence("train", 60)[0][1]
    np.testing.assert_array_equal(batch, one.arrays("train")[1])
    few = data.reduced(one, train_size=20)
    kept = data.reduced(clean, train_size=20).arrays("train")[1]
    assert few.arrays("train")[1].shape == kept.shape


@pytest.mark.parametrize("rate", [-0.1, 1.5, "half"])
def test_bad_rates(rate):
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\]"):
        data.noisy_labels(data.load("digits"), rate)


def test_example():
    run_example(data.noisy_labels)
