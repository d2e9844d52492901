"""A data set, split, normalised and ready for `fit`."""

import numpy as np

from kzoo.data import _augmentations, _batches, _pipeline
from kzoo.data._split import train_and_validation
from kzoo.data.dataset_spec import DatasetSpec
from kzoo.data.raw_data import RawData
from kzoo.data.sequence import Sequence
from kzoo.registry import suggest

_CHUNK = 4096


class Dataset:
    """A data set, split, normalised and ready for `fit`.

    Made by `kzoo.data.load`; call it directly on a `RawData` of your own. The splits
    are `"train"`, `"validation"` (stratified, from the published training images, with
    a fixed seed) and `"test"` (as published, never used to choose anything). Images are
    normalised to `(x / scale - mean) / std`, where `mean` and `std` belong to all
    published training images, so that they do not change with the seed or the sizes.

    Args:
        name: for messages and results.
        raw: the images and labels.
        validation_fraction: share of the training images, in [0, 1).
        train_size: number of training images to keep, or `None` for all. The subset is
            stratified and fixed by `seed`; smaller ones lie within larger ones.
        seed: of the validation split and the subset, not of the batches.

    Raises:
        ValueError: where a number is out of its range or a class loses all its images.

    Example:

    ```python
    from kzoo import data

    dataset = data.load("digits")
    images, labels = dataset.arrays("test")
    print(images.shape, dataset.spec.classes)  # (360, 8, 8, 1) 10
    ```
    """

    def __init__(
        self,
        name: str,
        raw: RawData,
        *,
        validation_fraction: float = 0.1,
        train_size: int | None = None,
        seed: int = 0,
    ):
        _check_split(validation_fraction, train_size, seed)
        train, validation = train_and_validation(
            raw.train_labels, validation_fraction, train_size, seed
        )
        _check_classes(raw, train, validation, validation_fraction)
        self._arrays = {
            "train": (raw.train_images, raw.train_labels.astype("int64")),
            "test": (raw.test_images, raw.test_labels.astype("int64")),
        }
        self._arrays["validation"] = self._arrays["train"]
        self._indices = {
            "train": train,
            "validation": validation,
            "test": np.arange(len(raw.test_labels)),
        }
        self.spec = _spec(name, raw, {k: len(v) for k, v in self._indices.items()})
        std = np.array(self.spec.std)
        self._slope = (1 / (raw.scale * std)).astype("float32")
        self._offset = np.array(self.spec.black, "float32")

    def __repr__(self):
        return (
            f"Dataset({self.spec.name!r}, image_shape={self.spec.image_shape}, {self.spec.sizes})"
        )

    def raw(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images as published and labels (int64) of a split, in a fixed order."""
        indices = self._split(split)
        images, labels = self._arrays[split]
        return images[indices], labels[indices]

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Normalised images (float32) and labels (int64) of a split, in a fixed order."""
        images, labels = self.raw(split)
        return self.normalize(images), labels

    def normalize(self, images: np.ndarray) -> np.ndarray:
        """Raw images as the model wants them: `(x / scale - mean) / std`, float32."""
        images = images.astype("float32")
        images *= self._slope
        images += self._offset
        return images

    def steps(self, split: str, batch_size: int, *, drop_remainder: bool = False) -> int:
        """Batches in an epoch of a split."""
        return _batches.count_steps(len(self._split(split)), batch_size, drop_remainder)

    def sequence(
        self,
        split: str,
        batch_size: int,
        *,
        shuffle: bool = False,
        augment=None,
        seed: int = 0,
        first_epoch: int = 0,
        drop_remainder: bool = False,
    ) -> Sequence:
        """Batches for `fit` on any backend.

        On TensorFlow and a CPU take `pipeline` for long training: Keras feeds a
        `PyDataset` to TensorFlow in a way that makes its steps up to twice as slow.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            batch_size: images a batch; the last batch of an epoch may hold fewer.
            shuffle: whether each epoch has an order of its own.
            augment: `"crop_flip"`, `"shift"`, or a function of `(images, generator)`
                that returns images of the same shape, such as `CropFlip(2)`. It gets
                normalised images and a `np.random.Generator` of its own for each batch.
            seed: order and augmentation of epoch `e` are functions of `(seed, e)`.
            first_epoch: the epoch to begin with: `k` gives the epochs k, k + 1, ... of
                a run that began with 0.
            drop_remainder: whether to leave out a last batch of fewer images.
        """
        return Sequence(
            self._make_batches(split, batch_size, shuffle, augment, seed, drop_remainder),
            _checked("first_epoch", first_epoch),
        )

    def pipeline(
        self,
        split: str,
        batch_size: int,
        *,
        shuffle: bool = False,
        augment=None,
        seed: int = 0,
        first_epoch: int = 0,
        drop_remainder: bool = False,
    ):
        """The batches of `sequence` as a `tf.data.Dataset`; same arguments.

        Each iteration over it is one epoch, of `len(pipeline)` batches:
        `fit(pipeline, shuffle=False)` needs no `steps_per_epoch` and takes
        `len(pipeline)` as well. (`shuffle` is about arrays; left at `True`, Keras warns.)
        The next epoch begins once the last batch of the one before was made; a look at
        the first batch changes nothing where an epoch has more than four.
        """
        batches = self._make_batches(split, batch_size, shuffle, augment, seed, drop_remainder)
        return _pipeline.pipeline(Sequence(batches, _checked("first_epoch", first_epoch)), batches)

    def _make_batches(self, split, batch_size, shuffle, augment, seed, drop_remainder):
        indices = self._split(split)
        images, labels = self._arrays[split]
        return _batches.Batches(
            images,
            labels,
            indices,
            normalize=self.normalize,
            batch_size=batch_size,
            shuffle=shuffle,
            augment=_augmentations.get(augment, self.spec),
            seed=_checked("seed", seed),
            drop_remainder=drop_remainder,
        )

    def _split(self, split):
        if split not in self._indices:
            raise ValueError(f"Unknown split: {split!r}. {suggest(split, self._indices)}")
        if not len(self._indices[split]):
            raise ValueError(
                f"The {split} split of {self.spec.name} is empty. Load it with "
                "`validation_fraction` above 0, for example 0.1."
            )
        return self._indices[split]


def _spec(name, raw, sizes):
    mean, std = _moments(raw.train_images, raw.scale)
    return DatasetSpec(
        name=name,
        image_shape=tuple(raw.train_images.shape[1:]),
        classes=len(raw.class_names),
        class_names=tuple(raw.class_names),
        mean=mean,
        std=std,
        sizes=sizes,
        source=raw.source,
        scale=float(raw.scale),
    )


def _moments(images, scale):
    """Mean and standard deviation per channel, in chunks to spare memory."""
    channels = images.shape[-1]
    total, squares, count = np.zeros(channels), np.zeros(channels), images[..., 0].size
    for start in range(0, len(images), _CHUNK):
        pixels = images[start : start + _CHUNK].reshape(-1, channels).astype("float64")
        total += pixels.sum(axis=0)
        squares += np.einsum("ij,ij->j", pixels, pixels)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0)
    std = np.where(variance > 1e-12 * scale**2, np.sqrt(variance) / scale, 1.0)
    return tuple((mean / scale).tolist()), tuple(std.tolist())


def _check_split(validation_fraction, train_size, seed):
    if not 0 <= validation_fraction < 1:
        raise ValueError(
            "`validation_fraction` must be in [0, 1). "
            f"Received: validation_fraction={validation_fraction}"
        )
    if train_size is not None:
        _checked("train_size", train_size, minimum=1)
    _checked("seed", seed)


def _check_classes(raw, train, validation, validation_fraction):
    if validation_fraction and not len(validation):
        raise ValueError(
            f"`validation_fraction` is too small to give one image of {len(raw.train_labels)}. "
            f"Received: validation_fraction={validation_fraction}"
        )
    lost = np.setdiff1d(raw.train_labels, raw.train_labels[train])
    if len(lost):
        raise ValueError(
            f"No training image is left of class {raw.class_names[lost[0]]!r}. Give it more "
            "images, a smaller `validation_fraction` or a larger `train_size`."
        )


def _checked(name, value, minimum=0):
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or not minimum <= value < 2**32:
        raise ValueError(
            f"`{name}` must be an integer in [{minimum}, 2**32). Received: {name}={value!r}"
        )
    return int(value)
