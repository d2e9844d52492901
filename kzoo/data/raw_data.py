"""What a loader returns: the images and labels as they were published."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class RawData:
    """Images and labels of a data set, as published, checked.

    Use it to bring images of your own: a function that returns a `RawData`,
    registered as a `"dataset"`, can be loaded by name; `Dataset("name", raw)`
    does without the name.

    Args:
        train_images: array `(n, height, width, channels)`, integers or floats.
        train_labels: integers in `[0, len(class_names))`, one an image.
        test_images: as `train_images`, other images.
        test_labels: as `train_labels`.
        class_names: one name a class, in the order of the labels.
        source: where the images came from, in words.
        scale: the value of a white pixel: images divided by it lie in [0, 1].

    Raises:
        ValueError: for wrong shapes, counts, labels, or values that are not finite.

    Example:

    ```python
    import numpy as np
    from kzoo import data

    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype="uint8")
    labels = np.arange(40) % 2
    raw = data.RawData(
        images[:20], labels[:20], images[20:], labels[20:], class_names=("even", "odd")
    )
    dataset = data.Dataset("noise", raw)
    print(dataset.spec.sizes)  # {'train': 18, 'validation': 2, 'test': 20}
    ```
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    source: str = "arrays"
    scale: float = 255.0

    def __post_init__(self):
        if len(self.class_names) < 2:
            raise ValueError(
                "A data set needs at least two classes. "
                f"Received: class_names={tuple(self.class_names)}"
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(
                f"`class_names` must differ. Received: class_names={tuple(self.class_names)}"
            )
        if not self.scale > 0:
            raise ValueError(f"`scale` must be positive. Received: scale={self.scale}")
        for split in ("train", "test"):
            images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
            _check_images(split, images)
            _check_labels(split, labels, len(images), len(self.class_names))
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                "Training and test images must have one shape. Received: train "
                f"{self.train_images.shape[1:]}, test {self.test_images.shape[1:]}"
            )


def _check_images(split, images):
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"The {split} images must be an array (n, height, width, channels) with at least one "
            f"image. Received: shape={images.shape}"
        )
    if images.dtype.kind not in "uif":
        raise ValueError(
            f"The {split} images must be integers or floats. Received: dtype={images.dtype}"
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        bad = int((~np.isfinite(images).all(axis=(1, 2, 3))).argmax())
        raise ValueError(
            f"Image {bad} of the {split} split holds NaN or infinity. Mend or remove it."
        )


def _check_labels(split, labels, images, classes):
    if labels.dtype.kind not in "ui" or labels.shape != (images,):
        raise ValueError(
            f"The {split} split needs one integer label an image. Received: {images} images, "
            f"labels of shape {labels.shape} and dtype {labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"The {split} labels must lie in [0, {classes}), as there are {classes} class names. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
