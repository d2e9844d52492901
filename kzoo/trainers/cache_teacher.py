"""Run a teacher once over a data set and keep what it shows."""

import dataclasses
import pathlib

from kzoo.data.batch_options import BatchOptions
from kzoo.trainers import _recording
from kzoo.trainers._course import as_teachers
from kzoo.trainers._recorder import Reader, record
from kzoo.trainers.teacher_cache import REPLAYED, TeacherCache

DTYPES = ("float32", "float16")
_PROBE_IMAGES = 4


def cache_teacher(
    teacher,
    dataset,
    taps,
    path,
    split="train",
    *,
    dtype="float32",
    batch_size=256,
    replay=None,
    epochs=1,
    verbose=1,
):
    """Record a teacher's outputs for every image of a split.

    Training with the returned cache never runs the teacher. Stopped or killed, the same call goes
    on where it was; finished, it only opens the files, if they are of this teacher and these
    images.

    Outputs for plain images are wrong for augmented ones. `replay` records the teacher on the
    augmented images of a number of epochs: they are a function of the seed and the epoch.

    Args:
        teacher: a `keras.Model`, a `Teacher` or a `TeacherEnsemble`.
        dataset: a `kzoo.data.Dataset`.
        taps: names of what to record (see `kzoo.taps`), for example `["logits", "stage2"]`.
        path: the folder for the files.
        split: of the data set.
        dtype: `"float32"` or `"float16"`, which halves the space and rounds to 3 digits.
        batch_size: images that the teacher is given at once (without `replay`).
        replay: the options of the training's batches: a dict with `batch_size` and, as
            needed, `shuffle`, `augment` (by name), `seed`, `drop_remainder`.
        epochs: how many epochs of these to record.
        verbose: 0: silent; 1: a progress bar.

    Returns:
        A `TeacherCache`.

    Raises:
        ValueError: for a folder that holds the recording of another teacher, other images, taps
            or options; for outputs that are not finite (in float16 also those beyond 65504).
        OSError: where the disk has no room for the files; nothing is lost.

    Example:

    ```python
    import tempfile
    import keras
    from kzoo import data
    from kzoo.trainers import cache_teacher

    parts = [keras.layers.Flatten(), keras.layers.Dense(10)]
    teacher = keras.Sequential([keras.Input((8, 8, 1)), *parts])
    dataset = data.load("digits", train_size=64)
    folder = tempfile.mkdtemp()
    cache = cache_teacher(teacher, dataset, ["logits"], folder, dtype="float16", verbose=0)
    rows = cache.rows([0, 5])["logits"]  # (2, 10)
    ```
    """
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {DTYPES}. Received: dtype={dtype!r}")
    teacher, folder = _only(teacher), pathlib.Path(path)
    taps = [taps] if isinstance(taps, str) else list(taps)
    if not taps:
        raise ValueError("`taps` is empty: name what to record, for example ['logits'].")
    options = _options(split, batch_size, replay, epochs)
    shape = (None, *dataset.spec.image_shape)
    teacher.build(shape)
    teacher.build_preprocess(shape)
    # What these options cannot give is an error before there is a file.
    dataset.sequence(**options.arguments())
    wanted = {
        "format": _recording.FORMAT,
        "teacher": _recording.fingerprint_of_teacher(teacher),
        "data": {
            "name": dataset.spec.name,
            "split": split,
            "size": dataset.spec.sizes[split],
            "sha256": _recording.fingerprint_of_data(dataset, split),
        },
        "taps": _tap_files(teacher, taps, dataset.spec.sizes[split], dtype, replay and epochs),
        "replay": replay
        and {"options": {n: getattr(options, n) for n in REPLAYED}, "epochs": epochs},
    }
    reader = Reader(teacher, taps)
    probe = reader.predict_on_batch(dataset.normalize(dataset.raw(split)[0][:_PROBE_IMAGES]))
    with _recording.only_one(folder):
        manifest = _recording.read_manifest(folder)
        if manifest is not None and not _holds_rows(manifest):
            manifest = _forget(folder, manifest)
        if manifest is None:
            manifest = _begin(folder, wanted, probe, options.batch_size)
        _check_same(folder, manifest, wanted, probe)
        if "sha256" not in manifest:
            # The batches that are done were of the size of the first try.
            options = dataclasses.replace(options, batch_size=manifest["batch_size"])
            record(reader, dataset, options, folder, manifest, verbose)
    return TeacherCache(folder, name=teacher.name, weight=teacher.weight)


def _holds_rows(manifest):
    """Whether there is something to lose: another try that failed at once left nothing."""
    return "sha256" in manifest or manifest["done"] != [0, 0]


def _forget(folder, manifest):
    for one in manifest["taps"].values():
        (folder / one["file"]).unlink(missing_ok=True)


def _only(teacher):
    """The one teacher that is recorded."""
    teachers = as_teachers(teacher)
    if isinstance(teachers[0], TeacherCache):
        raise ValueError(f"{teachers[0].path} is recorded already: give it to the Distiller.")
    if len(teachers) > 1:
        raise ValueError(
            f"cache_teacher records one teacher. Received: {len(teachers)}. Record each into a "
            "folder of its own, or give a TeacherEnsemble."
        )
    members = getattr(teachers[0], "members", teachers)
    if any(getattr(member, "batch_statistics", False) for member in members):
        raise ValueError(
            "The outputs of a teacher with batch_statistics=True depend on the batch, so they "
            "cannot be recorded. Use the teacher itself."
        )
    return teachers[0]


def _begin(folder, wanted, probe, batch_size):
    """Make the files of a recording; the manifest comes last."""
    for one in wanted["taps"].values():
        _recording.allocate(folder / one["file"], one["shape"], one["dtype"])
    _recording.write_probe(folder, probe)
    manifest = {**wanted, "batch_size": batch_size, "done": [0, 0]}
    _recording.write_manifest(folder, manifest)
    return manifest


def _options(split, batch_size, replay, epochs):
    if not isinstance(epochs, int) or epochs < 1 or (replay is None and epochs > 1):
        raise ValueError(
            "`epochs` must be an integer >= 1, and is 1 without `replay`, as plain images are the "
            f"same in every epoch. Received: epochs={epochs!r}, replay={replay}"
        )
    if replay is None:
        return BatchOptions(split=split, batch_size=batch_size, sample_index=True)
    unknown = sorted(set(replay) - (set(REPLAYED) - {"split"}))
    if unknown or "batch_size" not in replay or not isinstance(replay.get("augment"), str | None):
        raise ValueError(
            "`replay` must be a dict with `batch_size` and, as needed, shuffle, augment (a "
            f"name), seed, drop_remainder. Received: replay={replay}"
        )
    return BatchOptions(split=split, sample_index=True, **replay)


def _tap_files(teacher, taps, size, dtype, epochs):
    shapes, files = teacher.prepare(taps), _recording.file_names(taps)
    lead = (epochs, size) if epochs else (size,)
    unknown = [tap for tap in taps if None in shapes[tap][1:]]
    if unknown:
        raise ValueError(
            f"The tap {unknown[0]!r} has the open shape {shapes[unknown[0]]}. Build the teacher "
            "with a fixed input size."
        )
    return {
        tap: {"file": files[tap], "shape": [*lead, *shapes[tap][1:]], "dtype": dtype}
        for tap in taps
    }


def _check_same(folder, manifest, wanted, probe):
    words = {
        "teacher": "another teacher",
        "data": "other images",
        "replay": "other options of the batches or another number of epochs",
        "taps": "other taps, the same in another order, or another dtype",
    }
    if manifest["taps"] == wanted["taps"] and not _recording.same_probe(folder, probe):
        wanted = {**wanted, "teacher": None}
    for key, what in words.items():
        if manifest.get(key) != wanted[key]:
            raise ValueError(
                f"{folder} holds a recording of {what}. Give another path, or delete that folder."
            )
