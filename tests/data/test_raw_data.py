import dataclasses

import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


def _change(**changes):
    return dataclasses.replace(small_raw(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": np.arange(59) % 4}, r"60 images, labels of shape \(59,\)"),
        ({"train_labels": np.full(60, 4)}, r"must lie in \[0, 4\).*from 4 to 4"),
        ({"test_labels": np.full(20, -1)}, r"The test labels .*from -1"),
        ({"test_labels": np.zeros(20)}, "one integer label an image.*float64"),
        ({"train_images": np.zeros((60, 6, 6), "uint8")}, r"shape=\(60, 6, 6\)"),
        ({"test_images": np.zeros((0, 6, 6, 1), "uint8")}, "at least one image"),
        ({"test_images": np.zeros((20, 6, 5, 1), "uint8")}, "one shape"),
        ({"train_images": np.zeros((60, 6, 6, 1), bool)}, "integers or floats"),
        ({"class_names": ("a",)}, "at least two classes"),
        ({"class_names": ("a", "b", "b", "c")}, "must differ"),
        ({"scale": 0.0}, "`scale` must be positive"),
    ],
)
def test_wrong_data_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _change(**changes)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_image_that_is_not_finite_is_named(value):
    images = np.zeros((60, 6, 6, 1), "float32")
    images[17, 3, 2, 0] = value
    with pytest.raises(ValueError, match="Image 17 of the train split holds NaN or infinity"):
        _change(train_images=images)


def test_float_images_are_normalised_like_integers():
    raw = small_raw()
    floats = dataclasses.replace(
        raw,
        train_images=raw.train_images / 255,
        test_images=raw.test_images / 255,
        scale=1.0,
    )
    images, _ = data.Dataset("floats", floats).arrays("train")
    assert images.dtype == "float32"
    np.testing.assert_allclose(images, data.Dataset("bytes", raw).arrays("train")[0], atol=1e-5)
