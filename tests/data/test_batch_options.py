import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


@pytest.fixture(scope="module")
def dataset():
    return data.Dataset("noise", small_raw(), validation_fraction=0.1)


def test_arguments_make_the_same_batches_again(dataset):
    sequence = dataset.sequence(
        "train",
        8,
        augment="crop_flip",
        seed=3,
        drop_remainder=True,
        sampler=data.SameClassPairs(8),
        views=2,
        sample_index=True,
        attach=lambda numbers, epoch: {"epoch": np.full(len(numbers), epoch)},
    )
    again = dataset.sequence(**sequence.options.arguments())
    assert again.options == sequence.options
    assert len(again) == len(sequence) == 13
    (x, y), (expected_x, expected_y) = again.batch(4, 2), sequence.batch(4, 2)
    np.testing.assert_array_equal(x["inputs"], expected_x["inputs"])
    np.testing.assert_array_equal(x["sample_index"], expected_x["sample_index"])
    np.testing.assert_array_equal(x["teacher"]["epoch"], [4] * 16)
    np.testing.assert_array_equal(y, expected_y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"views": 2}, "the views of an image would be equal.*views=2, augment=None"),
        ({"views": 0}, "`views` must be an integer.*views=0"),
        ({"views": True, "augment": "shift"}, "views=True"),
        ({"sampler": data.ClassUniform}, "`sampler` must be None or an object.*ClassUniform"),
        ({"sampler": "pairs"}, "sampler='pairs'"),
        ({"attach": {}}, "`attach` must be None, a function.*attach={}"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_wrong_arguments(dataset, arguments, message):
    with pytest.raises(ValueError, match=message):
        dataset.sequence("train", 8, **arguments)
