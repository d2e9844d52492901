import numpy as np
import pytest

from kzoo import data
from kzoo.data import batch_keys

from ._files import small_raw


@pytest.fixture(scope="module")
def dataset():
    return data.Dataset("noise", small_raw(), validation_fraction=0.1)  # 54 images to train with


def test_names_of_the_keys():
    assert (batch_keys.INPUTS, batch_keys.SAMPLE_INDEX) == ("inputs", "sample_index")
    assert batch_keys.TEACHER == "teacher"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_sample_index_is_the_position_in_the_arrays(dataset, split, shuffle):
    images, labels = dataset.arrays(split)
    sequence = dataset.sequence(split, 10, shuffle=shuffle, sample_index=True)
    plain = dataset.sequence(split, 10, shuffle=shuffle)
    seen = []
    for (x, y), (expected_x, expected_y) in zip(sequence, plain, strict=True):
        assert set(x) == {"inputs", "sample_index"}
        assert x["sample_index"].dtype == "int32"
        np.testing.assert_array_equal(x["inputs"], expected_x)
        np.testing.assert_array_equal(y, expected_y)
        np.testing.assert_array_equal(images[x["sample_index"]], x["inputs"])
        np.testing.assert_array_equal(labels[x["sample_index"]], y)
        seen += x["sample_index"].tolist()
    assert sorted(seen) == list(range(dataset.spec.sizes[split]))
    assert (seen == sorted(seen)) != shuffle
