"""A teacher that is not there: its recorded outputs."""

import hashlib
import json
import pathlib

import keras
from keras import ops

from kzoo.trainers import _recording
from kzoo.trainers._teaching import OUTPUTS, Teaching, check_weight

REPLAYED = ("split", "batch_size", "shuffle", "augment", "seed", "drop_remainder")


@keras.saving.register_keras_serializable(package="kzoo")
class TeacherCache(Teaching):
    """Recorded outputs of a teacher in place of the teacher itself.

    Use it when one teacher serves many trainings: it is run once, by `cache_teacher`, and
    never again. Give the cache to the `Distiller` as its teacher and to the data as `attach`.
    The outputs are mapped into memory, so they may be larger than it.

    The data refuse to attach a cache that does not belong to them: one of other images, and one
    of plain images where the training images are augmented.

    Args:
        path: the folder that `cache_teacher` wrote.
        weight: multiplies the losses towards this teacher, see `Teacher`.
        name: for the names of terms.
        verify: whether to compare the files with their checksums, which reads them once.

    Raises:
        ValueError: for a folder without a finished recording, and for a missing, truncated
            or damaged file, which is named.

    Example:

    ```python
    import tempfile
    import keras
    from kzoo import data
    from kzoo.losses import SoftTargets
    from kzoo.trainers import Distiller, cache_teacher

    def classifier(units):
        parts = [keras.layers.Flatten(), keras.layers.Dense(units, "relu"), keras.layers.Dense(10)]
        return keras.Sequential([keras.Input((8, 8, 1)), *parts])

    dataset = data.load("digits", train_size=64)
    cache = cache_teacher(classifier(16), dataset, ["logits"], tempfile.mkdtemp(), verbose=0)
    distiller = Distiller(classifier(2), cache, SoftTargets())
    distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = dataset.sequence("train", 32, shuffle=True, attach=cache)
    distiller.fit(batches, shuffle=False, verbose=0)
    ```
    """

    def __init__(self, path, weight=None, name="teacher", verify=True):
        self.path = pathlib.Path(path)
        self.weight = check_weight(weight)
        self.name = name
        manifest = _recording.read_manifest(self.path)
        if manifest is None or "sha256" not in manifest:
            raise ValueError(
                f"{self.path} holds no finished recording. Run kzoo.trainers.cache_teacher; "
                "it goes on where it was stopped."
            )
        self.manifest = manifest
        files = json.dumps(manifest["sha256"], sort_keys=True).encode()
        self._identity = hashlib.sha256(files).hexdigest()[:12]
        self._arrays = {
            tap: _recording.open_array(
                self.path / tap_file["file"], tap_file["shape"], tap_file["dtype"]
            )
            for tap, tap_file in manifest["taps"].items()
        }
        if verify:
            self._verify()
        self._checked = {}

    @property
    def taps(self):
        """What was recorded."""
        return list(self._arrays)

    def __call__(self, numbers, epoch):
        """The recorded rows of some samples, as columns that name the tap and this recording.

        It is what `attach` of the data asks for.
        """
        return {self._column(tap): rows for tap, rows in self.rows(numbers, epoch).items()}

    def rows(self, numbers, epoch=0):
        """The recorded rows of some samples, by tap.

        Args:
            numbers: of the samples, as `sample_index` of the data gives them.
            epoch: which epoch of replayed augmentation; without it all are alike.
        """
        replay = self.manifest["replay"]
        if replay is not None:
            if epoch >= replay["epochs"]:
                raise ValueError(
                    f"The cache {self.path} was recorded for {replay['epochs']} epochs of "
                    f"augmented images; this is epoch {epoch + 1}. Record more epochs, or train "
                    "for fewer."
                )
            return {tap: array[epoch, numbers] for tap, array in self._arrays.items()}
        return {tap: array[numbers] for tap, array in self._arrays.items()}

    def check(self, dataset, options):
        """Refuse images to which the recorded outputs do not belong; the data call this.

        Args:
            dataset: a `kzoo.data.Dataset`.
            options: the `BatchOptions` of the batches.
        """
        key = id(dataset), options.split
        if key not in self._checked:
            found = _recording.fingerprint_of_data(dataset, options.split)
            self._checked[key] = dataset, found
        if self._checked[key][1] != self.manifest["data"]["sha256"]:
            recorded = self.manifest["data"]
            raise ValueError(
                f"The cache {self.path} was recorded on other images: {recorded['size']} of the "
                f"{recorded['split']} split of {recorded['name']!r}. Received: the "
                f"{options.split} split of {dataset.spec.name!r} with "
                f"{dataset.spec.sizes[options.split]}. Record it again for these."
            )
        if self.manifest["replay"] is None:
            self._check_plain(options)
        else:
            self._check_replay(options)

    def _check_plain(self, options):
        if options.augment is not None:
            raise ValueError(
                f"The cache {self.path} holds outputs for the images as they are; under "
                f"augment={options.augment!r} they would belong to other images. Train without "
                f"augmentation, {_how_to_replay(options)}"
            )

    def _check_replay(self, options):
        replay = self.manifest["replay"]["options"]
        for name in REPLAYED:
            if getattr(options, name) != replay[name]:
                raise ValueError(
                    f"The cache {self.path} replays the augmentation of batches with {name}="
                    f"{replay[name]!r}. Received: {name}={getattr(options, name)!r}. Use the "
                    "recorded options, or record again."
                )
        if options.sampler is not None or options.views != 1:
            raise ValueError(
                f"The cache {self.path} replays plain batches: no sampler, one view. "
                f"Received: sampler={options.sampler}, views={options.views}"
            )

    def prepare(self, names):
        """Check that the taps were recorded; returns their shapes."""
        missing = [name for name in names if name not in self._arrays]
        if missing:
            raise ValueError(
                f"The cache {self.path} holds the taps {self.taps}, not {missing[0]!r}. Record it "
                "again with all taps that the losses read."
            )
        skip = 1 if self.manifest["replay"] is None else 2
        return {tap: (None, *array.shape[skip:]) for tap, array in self._arrays.items()}

    def read(self, run, batch):
        """What the data attached to the batch."""
        columns = {tap: self._column(tap) for tap in self._arrays}
        if not set(columns.values()) <= set(batch.recorded):
            raise ValueError(
                f"The batch holds no recorded outputs of the teacher in {self.path}. Feed `fit` "
                "with dataset.pipeline(..., attach=cache) or dataset.sequence(..., attach=cache), "
                "with this cache; several caches are attached as a list."
            )
        shown = {tap: ops.stop_gradient(batch.recorded[name]) for tap, name in columns.items()}
        # Without logits nobody can tell the teacher's class.
        return {**shown, OUTPUTS: shown.get("logits", ops.zeros(()))}

    def _column(self, tap):
        # Two recordings of equal files are the same teacher's: they may share columns.
        return f"{tap}@{self._identity}"

    def get_config(self):
        """The constructor's arguments; the files stay where they are."""
        return {"path": str(self.path), "weight": self.weight, "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def _verify(self):
        for tap, known in self.manifest["sha256"].items():
            path = self.path / self.manifest["taps"][tap]["file"]
            found = _recording.sha256(path)
            if found != known:
                raise ValueError(
                    f"{path} is damaged: its sha256 is {found[:12]}..., recorded was "
                    f"{known[:12]}.... Delete the folder and record again."
                )


def _how_to_replay(options):
    """How these batches are recorded; what cannot be replayed is named."""
    if isinstance(options.augment, str) and options.sampler is None and options.views == 1:
        replay = {name: getattr(options, name) for name in REPLAYED if name != "split"}
        return f"or record with cache_teacher(..., replay={replay}, epochs=...)."
    return (
        "or record with `replay`, which wants an augmentation by name, for example 'crop_flip', "
        "no sampler and one view."
    )
