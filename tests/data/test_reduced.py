"""Fewer training images, and nothing else."""

import numpy as np
import pytest

from kzoo import data


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_omitted_classes_are_gone_from_train_alone(digits):
    few = data.reduced(digits, omit_classes=[3, 5])
    labels = few.arrays("train")[1]
    assert set(labels) == set(range(10)) - {3, 5}
    assert few.spec.classes == 10
    for split in ("validation", "test"):
        np.testing.assert_array_equal(few.raw(split)[0], digits.raw(split)[0])
    assert few.spec.sizes["train"] == len(labels) < digits.spec.sizes["train"]


def test_a_subset_is_stratified_nested_and_normalised_alike(digits):
    small, large = (data.reduced(digits, train_size=n) for n in (50, 200))
    counts = np.bincount(small.arrays("train")[1])
    assert counts.max() - counts.min() <= 1
    images = {image.tobytes() for image in large.raw("train")[0]}
    assert all(image.tobytes() in images for image in small.raw("train")[0])
    assert small.spec.mean == digits.spec.mean
    assert digits.spec.sizes["train"] > 200


def test_batches_come_from_what_is_left(digits):
    few = data.reduced(digits, train_size=30, omit_classes=[0])
    (x, y), *_ = few.sequence("train", 30, sample_index=True)
    assert 0 not in y
    np.testing.assert_array_equal(x["inputs"], few.arrays("train")[0][x["sample_index"]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"omit_classes": [10]}, "`omit_classes` must name some, not all"),
        ({"omit_classes": list(range(10))}, "`omit_classes` must name some, not all"),
        ({"train_size": 0}, "`train_size` must be an integer"),
        ({"train_size": 10**6}, "`train_size` must be at most"),
        ({"train_size": 5}, "No training image is left of class '0'"),
    ],
)
def test_bad_arguments(digits, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.reduced(digits, **arguments)
