"""A data set, split, normalised and ready for `fit`."""

import numpy as np

from kzoo.data import _attached, _augmentations, _batches, _checks, _pipeline
from kzoo.data._facts import spec_of
from kzoo.data._split import train_and_validation
from kzoo.data.batch_options import BatchOptions
from kzoo.data.raw_data import RawData
from kzoo.data.sequence import Sequence
from kzoo.registry import suggest


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
            stratified and fixed by `seed`; smaller ones lie within larger
            ones where all classes are equally frequent.
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
        _checks.split_arguments(validation_fraction, train_size, seed)
        train, validation = train_and_validation(
            raw.train_labels, validation_fraction, train_size, seed
        )
        _checks.classes_left(raw, train, validation, validation_fraction)
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
        self.spec = spec_of(name, raw, {k: len(v) for k, v in self._indices.items()})
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

    def steps(
        self, split: str, batch_size: int, *, drop_remainder: bool = False, sampler=None
    ) -> int:
        """Batches in an epoch of a split."""
        labels = self._arrays[split][1][self._split(split)]
        order = _batches.epoch_order(sampler, labels, batch_size, seed=0)
        return _batches.count_steps(len(order), batch_size, drop_remainder)

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
        sampler=None,
        views: int = 1,
        sample_index: bool = False,
        attach=None,
    ) -> Sequence:
        """Batches for `fit` on any backend: `(images, labels)`, or `(dict, labels)`.

        On TensorFlow and a CPU take `pipeline` for long training: Keras feeds a
        `PyDataset` to TensorFlow in a way that makes its steps up to twice as slow.

        With `sample_index` or `attach` a batch is `({"inputs": images, "sample_index":
        numbers, "teacher": {...}}, labels)`, with those of the keys that were asked for;
        `kzoo.data.batch_keys` has their names.

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
            sampler: what chooses and orders the images of an epoch in place of `shuffle`:
                `ClassUniform`, `SuperclassUniform`, `SameClassPairs`, `SpecialistBlocks`,
                `Shuffled`, or any object with their method `order`, which must depend on its
                arguments alone.
            views: how often each image of a batch is augmented, each time with random
                numbers of its own. A batch then has `views * batch_size` rows: the first
                view of all images, as `views=1` gives it, then the second of all, ...;
                labels, sample numbers and attached columns repeat likewise.
            sample_index: whether to give the number of each image, its position in
                `arrays(split)`, from 0 to `spec.sizes[split] - 1`.
            attach: function of `(sample_numbers, epoch)`, called for each batch with one
                number a row, that returns a dict of arrays with one row a number, such as
                recorded outputs of a teacher. It knows nothing of the augmentation: see
                `Sequence` for outputs on augmented images. Where it has a method
                `check(dataset, options)`, that is called first with the `BatchOptions`, and
                may refuse them. A list of such functions attaches what each returns.
        """
        options = BatchOptions(
            split=split,
            batch_size=batch_size,
            shuffle=shuffle,
            augment=augment,
            seed=seed,
            drop_remainder=drop_remainder,
            sampler=sampler,
            views=views,
            sample_index=sample_index,
            attach=attach,
        )
        first_epoch = _checks.integer("first_epoch", first_epoch)
        return Sequence(self._make_batches(options, first_epoch), first_epoch)

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
        sampler=None,
        views: int = 1,
        sample_index: bool = False,
        attach=None,
    ):
        """The batches of `sequence` as a `tf.data.Dataset`; same arguments.

        Each iteration over it is one epoch, of `len(pipeline)` batches:
        `fit(pipeline, shuffle=False)` needs no `steps_per_epoch` and takes
        `len(pipeline)` as well. (`shuffle` is about arrays; left at `True`, Keras warns.)
        The next epoch begins once the last batch of the one before was made; a look at
        the first batch changes nothing where an epoch has more than four.

        Under `tf.distribute` that look takes more batches than one: where an epoch has fewer
        than eight, it counts as an epoch. Each replica gets a contiguous part of a batch: the
        halves of `SameClassPairs` and the views are then not on one replica.
        """
        sequence = self.sequence(
            split,
            batch_size,
            shuffle=shuffle,
            augment=augment,
            seed=seed,
            first_epoch=first_epoch,
            drop_remainder=drop_remainder,
            sampler=sampler,
            views=views,
            sample_index=sample_index,
            attach=attach,
        )
        return _pipeline.pipeline(sequence)

    def _make_batches(self, options, first_epoch):
        indices = self._split(options.split)
        images, labels = self._arrays[options.split]
        augment = _augmentations.get(options.augment, self.spec)
        for attach in _attached.functions(options.attach):
            if hasattr(attach, "check"):
                attach.check(self, options)
        return _batches.Batches(
            images,
            labels,
            indices,
            options,
            normalize=self.normalize,
            augment=augment,
            first_epoch=first_epoch,
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
