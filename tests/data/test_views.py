import keras
import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


@pytest.fixture(scope="module")
def dataset():
    return data.Dataset("noise", small_raw(), validation_fraction=0.1)  # 54 images to train with


@pytest.mark.parametrize("sampler", [None, data.SameClassPairs(10)])
def test_first_view_is_that_of_one_and_the_others_follow(dataset, sampler):
    arguments = {"shuffle": True, "augment": "crop_flip", "seed": 2, "sampler": sampler}
    one = dataset.sequence("train", 10, **arguments, sample_index=True)
    three = dataset.sequence("train", 10, **arguments, sample_index=True, views=3)
    assert len(one) == len(three)
    np.testing.assert_array_equal(one.sample_numbers(0), three.sample_numbers(0))
    for (x, y), (expected_x, expected_y) in zip(three, one, strict=True):
        first, *others = np.split(x["inputs"], 3)
        np.testing.assert_array_equal(first, expected_x["inputs"])
        assert all((other != first).any() for other in others)
        np.testing.assert_array_equal(y, np.tile(expected_y, 3))
        np.testing.assert_array_equal(x["sample_index"], np.tile(expected_x["sample_index"], 3))


def test_every_view_shows_its_image(dataset):
    """With an augmentation that leaves the number of the image readable."""

    def scale(images, generator):
        images *= generator.uniform(1, 2)  # in place: the views must not share memory
        return images

    images, labels = dataset.arrays("train")
    sequence = dataset.sequence("train", 9, shuffle=True, augment=scale, views=2, sample_index=True)
    for x, y in sequence:
        ratios = x["inputs"] / images[x["sample_index"]]
        for view in np.split(ratios, 2):
            np.testing.assert_allclose(view, view[0, 0, 0, 0], rtol=1e-5)
            assert 1 <= view[0, 0, 0, 0] <= 2
        assert ratios[0, 0, 0, 0] != ratios[-1, 0, 0, 0]
        np.testing.assert_array_equal(labels[x["sample_index"]], y)


def test_no_two_views_share_their_random_numbers(dataset):
    drawn = []

    def record(images, generator):
        drawn.append(generator.random())
        return images

    sequence = dataset.sequence("train", 9, augment=record, shuffle=True, views=3)
    for _ in range(2):
        list(iter(sequence))
    order = np.random.default_rng([0, 0]).random()
    assert len({*drawn, order}) == 6 * 3 * 2 + 1


def test_views_resume(dataset):
    arguments = {"shuffle": True, "augment": "crop_flip", "views": 2}
    whole = dataset.sequence("train", 10, **arguments)
    late = dataset.sequence("train", 10, **arguments, first_epoch=3)
    for (x, y), index in zip(late, range(6), strict=True):
        np.testing.assert_array_equal(x, whole.batch(3, index)[0])
        np.testing.assert_array_equal(y, whole.batch(3, index)[1])


def test_a_plain_classifier_trains_on_them(dataset):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    sequence = dataset.sequence("train", 10, augment="crop_flip", views=2)
    history = model.fit(sequence, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.tensorflow
def test_pipeline_equals_sequence(dataset):
    arguments = {"shuffle": True, "augment": "crop_flip", "views": 2, "first_epoch": 1}
    pipeline = dataset.pipeline("train", 9, **arguments)
    sequence = dataset.sequence("train", 9, **arguments)
    assert pipeline.element_spec[0].shape.as_list() == [18, 6, 6, 1]
    for _ in range(2):
        batches = list(pipeline.as_numpy_iterator())
        for (x, y), (expected_x, expected_y) in zip(batches, sequence, strict=True):
            np.testing.assert_array_equal(x, expected_x)
            np.testing.assert_array_equal(y, expected_y)
