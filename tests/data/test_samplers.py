"""What every sampler must do."""

import keras
import numpy as np
import pytest

from kzoo import data

from ._files import small_raw

SAMPLERS = {
    "Shuffled": (data.Shuffled(), 12),
    "ClassUniform": (data.ClassUniform(3, 4), 12),
    "SuperclassUniform": (data.SuperclassUniform([0, 0, 1, 1], 2, 5), 10),
    "SameClassPairs": (data.SameClassPairs(10), 10),
    "SameClassPairs not distinct": (data.SameClassPairs(10, distinct=False), 10),
    "SpecialistBlocks": (data.SpecialistBlocks([(0, 1), (1, 2, 3)], 12), 12),
}
every_sampler = pytest.mark.parametrize(
    ("sampler", "batch_size"), SAMPLERS.values(), ids=SAMPLERS.keys()
)


@pytest.fixture(scope="module")
def dataset():
    return data.Dataset("noise", small_raw(), validation_fraction=0.1)  # 54 images to train with


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, batch, other)


@every_sampler
def test_epochs_differ_and_resume_bit_for_bit(dataset, sampler, batch_size):
    arguments = {"sampler": sampler, "augment": "crop_flip", "sample_index": True, "seed": 3}
    sequence = dataset.sequence("train", batch_size, **arguments)
    whole = [list(iter(sequence)) for _ in range(4)]
    resumed = dataset.sequence("train", batch_size, **arguments, first_epoch=2)
    assert_same([*iter(resumed), *iter(resumed)], whole[2] + whole[3])
    backwards = [sequence.batch(1, index) for index in reversed(range(len(sequence)))]
    assert_same(backwards[::-1], whole[1])
    orders = {tuple(n for x, _ in epoch for n in x["sample_index"]) for epoch in whole}
    assert len(orders) == 4
    other_seed = dataset.sequence("train", batch_size, **arguments | {"seed": 4})
    assert (other_seed[0][0]["sample_index"] != whole[0][0][0]["sample_index"]).any()


@every_sampler
@pytest.mark.parametrize("split", ["train", "test"])
def test_numbers_images_and_labels_belong_together(dataset, sampler, batch_size, split):
    images, labels = dataset.arrays(split)
    sequence = dataset.sequence(split, batch_size, sampler=sampler, sample_index=True)
    numbers = sequence.sample_numbers(0)
    batches = list(sequence)
    assert len(batches) == len(sequence) == dataset.steps(split, batch_size, sampler=sampler)
    for x, y in batches:
        np.testing.assert_array_equal(images[x["sample_index"]], x["inputs"])
        np.testing.assert_array_equal(labels[x["sample_index"]], y)
    np.testing.assert_array_equal(np.concatenate([x["sample_index"] for x, _ in batches]), numbers)


@every_sampler
def test_sample_numbers_leave_out_what_is_dropped(dataset, sampler, batch_size):
    sequence = dataset.sequence(
        "train", batch_size, sampler=sampler, drop_remainder=True, sample_index=True
    )
    handed_out = np.concatenate([x["sample_index"] for x, _ in sequence])
    np.testing.assert_array_equal(sequence.sample_numbers(0), handed_out)


@every_sampler
def test_the_sampler_decides_whatever_shuffle_says(dataset, sampler, batch_size):
    plain, shuffled = (
        dataset.sequence("train", batch_size, sampler=sampler, shuffle=shuffle)
        for shuffle in (False, True)
    )
    assert_same(plain, shuffled)


@every_sampler
def test_same_arguments_same_sampler(sampler, batch_size):
    same = eval(repr(sampler), vars(data))
    assert same == sampler
    assert hash(same) == hash(sampler)
    with pytest.raises(AttributeError):
        sampler.batch_size = 3


@pytest.mark.tensorflow
@every_sampler
def test_pipeline_equals_sequence(dataset, sampler, batch_size):
    arguments = {"sampler": sampler, "augment": "shift", "sample_index": True, "first_epoch": 1}
    pipeline = dataset.pipeline("train", batch_size, **arguments)
    sequence = dataset.sequence("train", batch_size, **arguments)
    assert len(pipeline) == len(sequence)
    for _ in range(2):
        assert_same(list(pipeline.as_numpy_iterator()), list(iter(sequence)))


@pytest.mark.tensorflow
def test_uniform_batches_have_static_shapes(dataset):
    pipeline = dataset.pipeline("train", 12, sampler=data.ClassUniform(3, 4))
    assert pipeline.element_spec[0].shape.as_list() == [12, 6, 6, 1]


class _Sampler:
    """Returns what it was given; of several things another for each epoch."""

    def __init__(self, *orders):
        self.orders = orders

    def __repr__(self):
        return "mine"

    def order(self, labels, batch_size, generator):
        return self.orders[int(generator.integers(len(self.orders)))]


def test_a_sampler_of_ones_own(dataset):
    sequence = dataset.sequence("train", 2, sampler=_Sampler([5, 3, 5]), sample_index=True)
    assert [x["sample_index"].tolist() for x, _ in sequence] == [[5, 3], [5]]
    assert dataset.steps("train", 2, sampler=_Sampler([5, 3, 5]), drop_remainder=True) == 1


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 54], r"positions in \[0, 54\)\. Received: 0 to 54 from mine"),
        ([-1], "Received: -1 to -1 from mine"),
        ([0.5], "integers.*dtype=float64 from mine"),
        ([], r"shape=\(0,\)"),
        ([[1, 2]], r"shape=\(1, 2\)"),
    ],
)
def test_a_sampler_that_returns_nonsense(dataset, order, message):
    with pytest.raises(ValueError, match=message):
        dataset.sequence("train", 2, sampler=_Sampler(order))


def test_a_sampler_must_keep_the_length_of_its_epochs(dataset):
    sequence = dataset.sequence("train", 2, sampler=_Sampler([1, 2], [1, 2, 3]))
    with pytest.raises(ValueError, match=r"as many positions for every epoch, at first \d"):
        [sequence.batch(epoch, 0) for epoch in range(20)]
