import sys

import keras
import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


@pytest.fixture(scope="module")
def dataset():
    return data.Dataset("noise", small_raw(), validation_fraction=0.1)  # 54 images to train with


@pytest.mark.tensorflow
def test_batches_equal_those_of_the_sequence_in_every_epoch(dataset):
    arguments = {"shuffle": True, "augment": "crop_flip", "seed": 2, "first_epoch": 1}
    pipeline = dataset.pipeline("train", 10, **arguments)
    sequence = dataset.sequence("train", 10, **arguments)
    assert len(pipeline) == 6
    for _ in range(3):
        batches = [(x.numpy(), y.numpy()) for x, y in pipeline]
        for (x, y), (expected_x, expected_y) in zip(batches, sequence, strict=True):
            np.testing.assert_array_equal(x, expected_x)
            np.testing.assert_array_equal(y, expected_y)


@pytest.mark.tensorflow
def test_shapes_are_static_where_all_batches_are_full(dataset):
    shapes = [
        dataset.pipeline("train", size, drop_remainder=drop).element_spec[0].shape.as_list()
        for size, drop in ((10, False), (10, True), (9, False))
    ]
    assert [shape[0] for shape in shapes] == [None, 10, 9]
    assert all(shape[1:] == [6, 6, 1] for shape in shapes)


@pytest.mark.tensorflow
@pytest.mark.parametrize("batch_size", [8, 20])
def test_look_at_the_first_batch_changes_nothing(dataset, batch_size):
    pipeline = dataset.pipeline("train", batch_size, shuffle=True)
    first = next(iter(pipeline))[0].numpy()
    for images, _ in pipeline.take(1):
        np.testing.assert_array_equal(images, first)
    np.testing.assert_array_equal(next(iter(pipeline))[0], first)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("batch_size", "steps_per_epoch"), [(8, None), (54, "given")])
def test_fit_equals_fit_on_the_sequence_and_resumes(dataset, batch_size, steps_per_epoch):
    def train(feed, first_epoch=0, epochs=4, weights=None):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
        model.build((None, *dataset.spec.image_shape))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        if weights:
            model.set_weights(weights)
        batches = feed("train", batch_size, shuffle=True, augment="shift", first_epoch=first_epoch)
        model.fit(
            batches,
            initial_epoch=first_epoch,
            epochs=epochs,
            steps_per_epoch=len(batches) if steps_per_epoch else None,
            shuffle=False,
            verbose=0,
        )
        return model.get_weights()

    expected = train(dataset.sequence)
    whole = train(dataset.pipeline)
    resumed = train(dataset.pipeline, 2, weights=train(dataset.pipeline, epochs=2))
    for a, b, c in zip(expected, whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_without_tensorflow_the_sequence_is_offered(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"needs TensorFlow.*Use `sequence`"):
        dataset.pipeline("train", 8)
