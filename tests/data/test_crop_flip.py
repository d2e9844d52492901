import numpy as np
import pytest

from kzoo import data


def _images(count=2000, height=4, width=5, channels=2):
    """Every pixel of an image has another value above 0."""
    image = np.arange(1, height * width * channels + 1, dtype="float32")
    return np.repeat(image.reshape(1, height, width, channels), count, axis=0)


def _windows(image, padding, fill):
    """All crops by their position, computed one by one."""
    pads = ((padding, padding), (padding, padding), (0, 0))
    if fill == "reflect":
        padded = np.pad(image, pads, mode="reflect")
    else:
        padded = np.pad(image, pads, constant_values=np.nan)
        padded = np.where(np.isnan(padded), np.array(fill, "float32"), padded)
    height, width, _ = image.shape
    return [
        padded[y : y + height, x : x + width]
        for y in range(2 * padding + 1)
        for x in range(2 * padding + 1)
    ]


@pytest.mark.parametrize("fill", [0.0, (-1.0, -2.0), "reflect"])
@pytest.mark.parametrize("flip", [True, False])
def test_every_crop_comes_equally_often_and_nothing_else(fill, flip):
    images = _images()
    out = data.CropFlip(1, flip, fill)(images, np.random.default_rng(0))
    allowed = _windows(images[0], 1, fill)
    if flip:
        allowed += [window[:, ::-1] for window in allowed]
    counts = [int((out == window).all(axis=(1, 2, 3)).sum()) for window in allowed]
    assert sum(counts) == len(images)
    mean = len(images) / len(allowed)
    assert max(abs(count - mean) for count in counts) < 5 * mean**0.5


def test_input_is_left_alone_and_the_type_kept():
    images = _images(8)
    before = images.copy()
    out = data.CropFlip(2)(images, np.random.default_rng(0))
    np.testing.assert_array_equal(images, before)
    assert (out.dtype, out.shape) == (images.dtype, images.shape)


def test_without_padding_and_mirror_nothing_changes():
    images = _images(8)
    out = data.CropFlip(0, flip=False)(images, np.random.default_rng(0))
    np.testing.assert_array_equal(out, images)


def test_named_augmentations_fill_with_black():
    dataset = data.load("digits")
    plain = next(iter(dataset.sequence("train", 64)))[0]
    black = np.float32(dataset.spec.black[0])
    for name, padding in (("shift", 1), ("crop_flip", 4)):
        sequence = dataset.sequence("train", 64, augment=name)
        images = np.concatenate([images for images, _ in sequence])
        assert images.min() == black == plain.min()
        black_rows = (images == black).all(axis=(2, 3)).argmin(axis=1)
        assert black_rows.max() >= padding


def test_shifted_digits_are_never_mirrored():
    dataset = data.load("digits")
    images, _ = dataset.arrays("test")
    for batch, (moved, _) in enumerate(dataset.sequence("test", 60, augment="shift")):
        for image, result in zip(images[60 * batch :], moved, strict=False):
            crops = _windows(image, 1, dataset.spec.black)
            assert any((result == crop).all() for crop in crops)


@pytest.mark.parametrize("padding", [-1, 1.5, True])
def test_wrong_padding(padding):
    with pytest.raises(ValueError, match=f"`padding` must be .* Received: padding={padding}"):
        data.CropFlip(padding)


def test_wrong_fill():
    with pytest.raises(ValueError, match="Received: fill='edge'"):
        data.CropFlip(fill="edge")
