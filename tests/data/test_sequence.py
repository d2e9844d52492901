import collections

import keras
import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


@pytest.fixture(scope="module")
def dataset():
    return data.Dataset("noise", small_raw(), validation_fraction=0.1)  # 54 images to train with


def _numbers(dataset, images):
    """The numbers of images, which are written in their first pixels."""
    pixels = images[:, 0, 0, 0] * dataset.spec.std[0] + dataset.spec.mean[0]
    return np.rint(np.asarray(pixels) * 255).astype(int).tolist()


def _epochs(sequence, count):
    return [list(iter(sequence)) for _ in range(count)]


def _assert_equal(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        for array, expected in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_without_shuffling_the_batches_are_the_arrays(dataset):
    batches = list(dataset.sequence("train", 10))
    images, labels = dataset.arrays("train")
    assert [len(x) for x, _ in batches] == [10] * 5 + [4]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)


def test_each_epoch_is_another_order_of_the_same_images(dataset):
    epochs = _epochs(dataset.sequence("train", 10, shuffle=True), 3)
    orders = [[n for x, _ in epoch for n in _numbers(dataset, x)] for epoch in epochs]
    assert len({tuple(order) for order in orders}) == 3
    own = sorted(dataset.raw("train")[0][:, 0, 0, 0].tolist())
    assert all(sorted(order) == own for order in orders)


def test_labels_stay_with_their_images(dataset):
    for images, labels in dataset.sequence("train", 10, shuffle=True, augment=None):
        assert [n % 4 for n in _numbers(dataset, images)] == labels.tolist()


@pytest.mark.parametrize("augment", [None, "crop_flip"])
def test_epoch_is_a_function_of_seed_and_number(dataset, augment):
    arguments = {"shuffle": True, "augment": augment, "seed": 3}
    whole = _epochs(dataset.sequence("train", 16, **arguments), 4)
    late = _epochs(dataset.sequence("train", 16, **arguments, first_epoch=2), 2)
    for epoch, expected in zip(late, whole[2:], strict=True):
        _assert_equal(epoch, expected)
    other = dataset.sequence("train", 16, **arguments | {"seed": 4})
    assert (other[0][0] != whole[0][0][0]).any()


def test_batches_can_be_asked_for_in_any_order(dataset):
    arguments = {"shuffle": True, "augment": "crop_flip", "first_epoch": 5}
    forwards = dataset.sequence("train", 16, **arguments)
    backwards = dataset.sequence("train", 16, **arguments)
    _assert_equal([backwards[i] for i in (3, 2, 1, 0)][::-1], [forwards[i] for i in range(4)])
    with pytest.raises(IndexError, match="Batch 4 does not exist: an epoch has 4"):
        forwards[4]


def test_each_batch_has_random_numbers_of_its_own(dataset):
    drawn = []

    def record(images, generator):
        drawn.append(generator.random())
        return images

    sequence = dataset.sequence("train", 9, augment=record, shuffle=True)
    _epochs(sequence, 2)
    order = np.random.default_rng([0, 0]).random()
    assert len({*drawn, order}) == 13  # none shared with the order of the images


def test_loop_that_is_left_early_does_not_end_the_epoch(dataset):
    sequence = dataset.sequence("train", 10, shuffle=True)
    first = next(iter(sequence))
    _assert_equal([next(iter(sequence))], [first])
    assert sequence.epoch == 0


def test_drop_remainder(dataset):
    batches = list(dataset.sequence("train", 10, drop_remainder=True))
    assert [len(x) for x, _ in batches] == [10] * 5


def test_augmentation_must_keep_the_shape(dataset):
    sequence = dataset.sequence("train", 10, augment=lambda images, generator: images[:, 1:])
    with pytest.raises(ValueError, match=r"\(10, 6, 6, 1\). Received: shape=\(10, 5, 6, 1\)"):
        sequence[0]


@pytest.mark.parametrize("name", ["seed", "first_epoch"])
def test_wrong_numbers(dataset, name):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer.*{name}=-1"):
        dataset.sequence("train", 10, **{name: -1})


def _model(dataset):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input(dataset.spec.image_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(dataset.spec.classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("batch_size", [8, 27])  # 27: two batches, which Keras looks at first
def test_killed_run_goes_on_to_the_same_weights(dataset, batch_size):
    def feed(first_epoch=0):
        return dataset.sequence(
            "train", batch_size, shuffle=True, augment="crop_flip", seed=1, first_epoch=first_epoch
        )

    whole = _model(dataset)
    whole.fit(feed(), epochs=4, verbose=0)
    killed = _model(dataset)
    killed.fit(feed(), epochs=2, verbose=0)
    resumed = _model(dataset)
    resumed.set_weights(killed.get_weights())
    resumed.fit(feed(2), initial_epoch=2, epochs=4, verbose=0)
    for weights, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)
    assert (killed.get_weights()[0] != whole.get_weights()[0]).any()


@pytest.mark.parametrize("steps_per_epoch", [None, 6])
def test_fit_sees_the_batches_of_each_epoch_in_order(dataset, steps_per_epoch):
    """Although `fit` shuffles the indices of a `PyDataset` unless told otherwise."""
    seen = []

    def record(images, generator):
        seen.append(tuple(_numbers(dataset, images)))
        return images

    sequence = dataset.sequence("train", 9, shuffle=True, augment=record)
    model = _model(dataset)
    model.fit(sequence, epochs=1, verbose=0)
    seen.clear()  # what Keras looked at to build the model
    assert sequence.epoch == 1
    for _ in range(2):
        sequence.on_epoch_begin()
        model.fit(sequence, epochs=3, initial_epoch=2, steps_per_epoch=steps_per_epoch, verbose=0)
    assert sequence.epoch == 3
    expected = []
    for epoch in (1, 2):
        for images, _ in dataset.sequence("train", 9, shuffle=True, first_epoch=epoch):
            expected.append(tuple(_numbers(dataset, images)))
    counts = collections.Counter(seen)
    assert set(counts) == set(expected)
    assert [batch for i, batch in enumerate(seen) if batch not in seen[:i]] == expected


def test_evaluate_takes_every_image_once(dataset):
    model = _model(dataset)
    images, labels = dataset.arrays("test")
    loss = model.evaluate(dataset.sequence("test", 7), verbose=0)[0]
    np.testing.assert_allclose(
        loss, model.evaluate(images, labels, batch_size=20, verbose=0)[0], rtol=1e-5
    )


def test_an_interrupted_fit_leaves_batches_that_can_be_asked_for(dataset):
    sequence = dataset.sequence("train", 9)
    sequence.on_epoch_begin()
    for _ in range(len(sequence)):
        sequence[0]
    np.testing.assert_equal(sequence[0][0], sequence.batch(0, 0)[0])
