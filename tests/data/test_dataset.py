import dataclasses

import numpy as np
import pytest

from kzoo import data

from ._files import small_raw


def test_normalised_training_images_have_mean_0_and_variance_1_per_channel():
    raw = small_raw(channels=3)
    dataset = data.Dataset("noise", raw, validation_fraction=0)
    images, labels = dataset.arrays("train")
    assert (images.dtype, labels.dtype) == ("float32", "int64")
    np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(images.std(axis=(0, 1, 2)), 1, atol=1e-6)
    scaled = raw.train_images / 255
    np.testing.assert_allclose(dataset.spec.mean, scaled.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(dataset.spec.std, scaled.std(axis=(0, 1, 2)))
    expected = (raw.test_images / 255 - dataset.spec.mean) / dataset.spec.std
    np.testing.assert_allclose(dataset.arrays("test")[0], expected, atol=1e-6)


def test_moments_do_not_depend_on_splits_or_on_test_images():
    raw = small_raw()
    specs = [
        data.Dataset("a", raw, validation_fraction=f, train_size=n, seed=s).spec
        for f, n, s in ((0, None, 0), (0.3, 20, 1))
    ]
    other_test = dataclasses.replace(raw, test_images=raw.test_images // 2)
    specs.append(data.Dataset("a", other_test).spec)
    assert len({(spec.mean, spec.std) for spec in specs}) == 1


def test_constant_channel_stays_finite():
    raw = small_raw(channels=2)
    raw.train_images[..., 1] = 200
    dataset = data.Dataset("constant", raw)
    assert dataset.spec.std[1] == 1
    np.testing.assert_allclose(dataset.arrays("train")[0][..., 1], 0, atol=1e-6)


def test_black_is_what_a_raw_zero_becomes():
    dataset = data.Dataset("noise", small_raw(channels=3))
    np.testing.assert_array_equal(
        dataset.normalize(np.zeros((1, 1, 1, 3), "uint8"))[0, 0, 0],
        np.array(dataset.spec.black, "float32"),
    )


def test_raw_and_arrays_go_together_and_leave_the_source_alone():
    raw = small_raw()
    dataset = data.Dataset("noise", raw)
    images, labels = dataset.raw("validation")
    assert images.dtype == "uint8"
    np.testing.assert_array_equal(dataset.normalize(images), dataset.arrays("validation")[0])
    np.testing.assert_array_equal(labels, dataset.arrays("validation")[1])
    np.testing.assert_array_equal(raw.train_labels[images[:, 0, 0, 0]], labels)
    for split in ("train", "test"):
        before = dataset.raw(split)[0]
        dataset.raw(split)[0][:] = 0
        dataset.arrays(split)[0][:] = 0
        np.testing.assert_array_equal(dataset.raw(split)[0], before)


def test_splits_are_disjoint_stratified_and_fixed():
    raw = small_raw(train=200, classes=4)
    dataset = data.Dataset("noise", raw, validation_fraction=0.2)
    parts = {split: dataset.raw(split)[0][:, 0, 0, 0] for split in ("train", "validation")}
    assert dataset.spec.sizes == {"train": 160, "validation": 40, "test": 20}
    assert sorted([*parts["train"], *parts["validation"]]) == list(range(200))
    assert np.bincount(dataset.raw("validation")[1]).tolist() == [10] * 4
    again = data.Dataset("noise", raw, validation_fraction=0.2)
    other = data.Dataset("noise", raw, validation_fraction=0.2, seed=1)
    np.testing.assert_array_equal(again.raw("validation")[0], dataset.raw("validation")[0])
    assert (other.raw("validation")[0] != dataset.raw("validation")[0]).any()
    np.testing.assert_array_equal(dataset.raw("test")[0], raw.test_images)


def test_train_size_keeps_a_nested_stratified_subset_and_the_same_validation():
    raw = small_raw(train=200, classes=4)
    sets = {n: data.Dataset("noise", raw, train_size=n) for n in (20, 40, None)}
    numbers = {n: set(s.raw("train")[0][:, 0, 0, 0].tolist()) for n, s in sets.items()}
    assert {n: len(kept) for n, kept in numbers.items()} == {20: 20, 40: 40, None: 180}
    assert numbers[20] < numbers[40] < numbers[None]
    assert np.bincount(sets[20].raw("train")[1]).tolist() == [5] * 4
    for kept in sets.values():
        np.testing.assert_array_equal(kept.raw("validation")[0], sets[None].raw("validation")[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_fraction": 1}, r"must be in \[0, 1\).*validation_fraction=1"),
        ({"validation_fraction": -0.1}, "validation_fraction=-0.1"),
        ({"validation_fraction": float("nan")}, "validation_fraction=nan"),
        ({"validation_fraction": 0.001}, "too small"),
        ({"validation_fraction": 0.95}, "No training image is left of class"),
        ({"train_size": 55}, "`train_size` must be at most 54"),
        ({"train_size": 0}, "`train_size` must be an integer"),
        ({"train_size": 3}, "No training image is left of class"),
        ({"seed": -1}, "`seed` must be an integer"),
    ],
)
def test_wrong_split_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.Dataset("noise", small_raw(), **arguments)


def test_wrong_split_name_offers_the_right_one():
    dataset = data.Dataset("noise", small_raw())
    with pytest.raises(ValueError, match=r"Unknown split: 'valid'\. .*mean 'validation'"):
        dataset.arrays("valid")


def test_empty_validation_split_says_why():
    dataset = data.Dataset("noise", small_raw(), validation_fraction=0)
    assert dataset.spec.sizes["validation"] == 0
    for ask in (dataset.arrays, lambda split: dataset.sequence(split, 4)):
        with pytest.raises(ValueError, match=r"validation split of noise is empty.*0\.1"):
            ask("validation")


@pytest.mark.parametrize("batch_size", [0, -3, 2.5, True])
def test_wrong_batch_size(batch_size):
    with pytest.raises(ValueError, match=f"positive integer. Received: batch_size={batch_size}"):
        data.Dataset("noise", small_raw()).sequence("train", batch_size)


def test_drop_remainder_that_leaves_nothing():
    with pytest.raises(ValueError, match="leaves no batch of 21 from 20 images"):
        data.Dataset("noise", small_raw()).sequence("test", 21, drop_remainder=True)


def test_steps():
    dataset = data.Dataset("noise", small_raw())
    assert dataset.steps("train", 16) == 4
    assert dataset.steps("train", 16, drop_remainder=True) == 3
    assert dataset.steps("test", 20) == 1


def test_unknown_augmentation_offers_the_right_one():
    dataset = data.Dataset("noise", small_raw())
    with pytest.raises(ValueError, match=r"'crop-flip'\. .*mean 'crop_flip'"):
        dataset.sequence("train", 8, augment="crop-flip")
    with pytest.raises(ValueError, match="augment=3"):
        dataset.sequence("train", 8, augment=3)
