"""Recorded teachers: equal to live ones, resumable, and refused where they would be wrong."""

import json
import os
import sys

import keras
import numpy as np
import pytest

from kzoo import data
from kzoo.losses import Hint, SoftTargets
from kzoo.trainers import (
    Distiller,
    Teacher,
    TeacherCache,
    TeacherEnsemble,
    _recording,
    cache_teacher,
)
from tests.trainers.models import equal, values

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def model(name, filters=2, seed=0, classes=10):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(filters, 3, strides=2, activation="relu", name="stage1")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name=name)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", train_size=40)


@pytest.fixture(scope="module")
def teacher():
    return model("teacher", 4, seed=7)


def losses():
    return [SoftTargets(), Hint("stage1", "stage1")]


def trained(taught_by, batches, epochs=2):
    trainer = Distiller(model("student"), taught_by, losses())
    trainer.compile(keras.optimizers.SGD(0.1), SPARSE, run_eagerly=True)
    logs = trainer.fit(batches, epochs=epochs, shuffle=False, verbose=0).history
    return values(trainer.student.weights), logs


def test_a_cached_teacher_equals_the_live_one(digits, teacher, tmp_path):
    cache = cache_teacher(teacher, digits, ["logits", "stage1"], tmp_path, batch_size=16, verbose=0)
    options = {"shuffle": True, "seed": 3}
    live, logs = trained(teacher, digits.sequence("train", 16, **options))
    recorded, found = trained(cache, digits.sequence("train", 16, **options, attach=cache))
    for one, other in zip(live, recorded, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    for name in ("soft_targets", "hint", "teacher_accuracy", "agreement"):
        np.testing.assert_allclose(found[name], logs[name], rtol=1e-4)


@pytest.mark.tensorflow
def test_a_pipeline_of_tensorflow_carries_the_rows(digits, teacher, tmp_path):
    cache = cache_teacher(teacher, digits, ["logits", "stage1"], tmp_path, verbose=0)
    live, _ = trained(teacher, digits.sequence("train", 16))
    recorded, _ = trained(cache, digits.pipeline("train", 16, attach=cache))
    for one, other in zip(live, recorded, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_augmentation_is_replayed_by_seed(digits, teacher, tmp_path):
    options = {"batch_size": 16, "shuffle": True, "augment": "shift", "seed": 5}
    taps = ["logits", "stage1"]
    cache = cache_teacher(teacher, digits, taps, tmp_path, replay=options, epochs=2, verbose=0)
    live, _ = trained(teacher, digits.sequence("train", **options))
    recorded, _ = trained(cache, digits.sequence("train", **options, attach=cache))
    for one, other in zip(live, recorded, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="recorded for 2 epochs of augmented images"):
        digits.sequence("train", **options, attach=cache, first_epoch=2)[0]
    with pytest.raises(ValueError, match=r"with seed=5. Received: seed=6"):
        digits.sequence("train", **{**options, "seed": 6}, attach=cache)
    with pytest.raises(ValueError, match="no sampler, one view"):
        digits.sequence("train", **options, views=2, attach=cache)


def test_what_would_be_wrong_is_refused(digits, teacher, tmp_path):
    cache = cache_teacher(teacher, digits, ["logits"], tmp_path, verbose=0)
    with pytest.raises(ValueError, match=r"they would belong to other images.*replay="):
        digits.sequence("train", 16, augment="shift", attach=cache)
    other = data.load("digits", train_size=50)
    with pytest.raises(ValueError, match="recorded on other images: 40 of the train split"):
        other.sequence("train", 16, attach=cache)
    with pytest.raises(ValueError, match="Received: the test split"):
        digits.sequence("test", 16, attach=cache)
    with pytest.raises(ValueError, match=r"holds the taps \['logits'\], not 'stage1'"):
        Distiller(model("student"), cache, losses())
    trainer = Distiller(model("student"), cache, SoftTargets())
    trainer.compile("sgd", SPARSE, run_eagerly=True)
    with pytest.raises(ValueError, match="holds no recorded outputs"):
        trainer.fit(digits.sequence("train", 16), shuffle=False, verbose=0)


def test_a_folder_belongs_to_one_recording(digits, teacher, tmp_path):
    cache_teacher(teacher, digits, ["logits"], tmp_path, verbose=0)
    for change, what in (
        ({"teacher": model("teacher", 4, seed=8)}, "another teacher"),
        ({"teacher": Teacher(teacher, preprocess=keras.layers.Rescaling(2.0))}, "another teacher"),
        ({"dataset": data.load("digits", train_size=41)}, "other images"),
        ({"taps": ["stage1"]}, "other taps"),
        ({"dtype": "float16"}, "another dtype"),
        ({"replay": {"batch_size": 8}}, "other options"),
        # Equal weights that are used in another way.
        ({"teacher": Teacher(teacher, classes=list(range(10))[::-1])}, "another teacher"),
        ({"teacher": Teacher(teacher, preprocess=lambda x: x + 1.0)}, "another teacher"),
    ):
        given = {"teacher": teacher, "dataset": digits, "taps": ["logits"], **change}
        with pytest.raises(ValueError, match=f"holds a recording of .*({what})"):
            cache_teacher(**given, path=tmp_path, verbose=0)


def test_an_interrupted_recording_goes_on(digits, teacher, tmp_path, monkeypatch):
    whole = cache_teacher(teacher, digits, ["logits"], tmp_path / "whole", verbose=0, batch_size=8)
    module = sys.modules[cache_teacher.__module__]
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_MARKS", -1.0)
    done, store = [], _recording.write_manifest

    def stop_after_three(folder, manifest):
        store(folder, manifest)
        done.append(manifest["done"])
        if len(done) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_recording, "write_manifest", stop_after_three)
        with pytest.raises(KeyboardInterrupt):
            cache_teacher(teacher, digits, ["logits"], tmp_path / "cut", verbose=0, batch_size=8)
    with pytest.raises(ValueError, match="holds no finished recording"):
        TeacherCache(tmp_path / "cut")
    seen = []
    again = model("teacher", 4, seed=7)
    shown = keras.Model.predict_on_batch
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda self, x: seen.append(len(x)) or shown(self, x)
    )
    # Another batch size must not make it skip images.
    cut = cache_teacher(again, digits, ["logits"], tmp_path / "cut", verbose=0, batch_size=20)
    assert done[-1] == [0, 3]
    assert seen == [4, 8, 8]  # the first are those by which the teacher is known again
    numbers = np.arange(40)
    np.testing.assert_array_equal(cut(numbers, 0)["logits"], whole(numbers, 0)["logits"])


def test_half_precision(digits, teacher, tmp_path):
    full = cache_teacher(teacher, digits, ["logits"], tmp_path / "32", verbose=0)
    half = cache_teacher(teacher, digits, ["logits"], tmp_path / "16", dtype="float16", verbose=0)
    numbers = np.arange(40)
    assert half(numbers, 0)["logits"].dtype == "float16"
    np.testing.assert_allclose(
        half(numbers, 0)["logits"], full(numbers, 0)["logits"], rtol=2e-3, atol=1e-3
    )
    loud = Teacher(teacher, preprocess=keras.layers.Rescaling(1e8))
    with pytest.raises(ValueError, match=r"not finite in float16.*65504 need dtype='float32'"):
        cache_teacher(loud, digits, ["logits"], tmp_path / "loud", dtype="float16", verbose=0)


def test_damage_is_named(digits, teacher, tmp_path):
    cache_teacher(teacher, digits, ["logits"], tmp_path, verbose=0)
    (path,) = tmp_path.glob("*.npy")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"0-logits\.npy is damaged: its sha256"):
        TeacherCache(tmp_path)
    path.write_bytes(good[:-8])
    with pytest.raises(ValueError, match=r"0-logits\.npy is missing or truncated"):
        TeacherCache(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="missing or truncated"):
        TeacherCache(tmp_path)
    manifest = tmp_path / "cache.json"
    manifest.write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="has format 99"):
        TeacherCache(tmp_path)
    manifest.write_text("{")
    with pytest.raises(ValueError, match=r"cache\.json is damaged"):
        TeacherCache(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="space is reserved on POSIX systems only")
def test_a_full_disk_is_seen_before_the_work(digits, teacher, tmp_path, monkeypatch):
    def full(descriptor, begin, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"cannot be written to .*: No space left.*float16"):
        cache_teacher(teacher, digits, ["logits"], tmp_path, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == [_recording.LOCK]


def test_an_ensemble_is_recorded_as_one(digits, teacher, tmp_path):
    ensemble = TeacherEnsemble([teacher, model("other", 3, seed=9)])
    cache = cache_teacher(ensemble, digits, ["logits"], tmp_path, verbose=0)
    images = digits.arrays("train")[0][:5]
    ensemble.prepare(["logits"])
    expected = ensemble.differentiable(images, ["logits"])["logits"]
    np.testing.assert_allclose(
        cache(np.arange(5), 0)["logits"], keras.ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-5
    )


def test_a_teacher_with_dropout_is_known_again(digits, tmp_path):
    def noisy():
        keras.utils.set_random_seed(4)
        parts = [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(10)]
        return keras.Sequential([keras.Input((8, 8, 1)), *parts])

    first = noisy()
    cache_teacher(first, digits, ["logits"], tmp_path, verbose=0)
    keras.utils.set_random_seed(99)
    second = keras.models.clone_model(first)  # as a new process would build it: other seeds
    second.set_weights(first.get_weights())
    cache = cache_teacher(second, digits, ["logits"], tmp_path, verbose=0)
    assert cache.taps == ["logits"]


def test_another_average_of_an_ensemble_is_another_teacher(digits, teacher, tmp_path):
    def members():
        return [Teacher(teacher, weight=3), model("other", 3, seed=9)]

    cache_teacher(TeacherEnsemble(members()), digits, ["logits"], tmp_path, verbose=0)
    other = TeacherEnsemble(members()[::-1])
    for changed in (TeacherEnsemble(members(), "logits"), other):
        with pytest.raises(ValueError, match="another teacher"):
            cache_teacher(changed, digits, ["logits"], tmp_path, verbose=0)


@pytest.mark.skipif(os.name != "posix", reason="files are locked on POSIX systems only")
def test_two_processes_do_not_record_into_one_folder(digits, teacher, tmp_path):
    with (
        _recording.only_one(tmp_path),
        pytest.raises(ValueError, match="Another process is recording"),
    ):
        cache_teacher(teacher, digits, ["logits"], tmp_path, verbose=0)


def test_a_saved_trainer_finds_its_cache(digits, teacher, tmp_path):
    cache = cache_teacher(teacher, digits, ["logits"], tmp_path / "cache", verbose=0)
    trainer = Distiller(model("student"), cache, SoftTargets())
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert loaded.teachers[0].path == cache.path
    assert equal(values(loaded.student.weights), values(trainer.student.weights))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "int8"}, "`dtype` must be one of"),
        ({"replay": {"shuffle": True}}, "`replay` must be a dict with `batch_size`"),
        ({"replay": {"batch_size": 8, "views": 2}}, "`replay` must be a dict"),
        ({"taps": ["stage9"]}, "stage9"),
        ({"epochs": 2}, "`epochs` must be an integer >= 1, and is 1 without `replay`"),
        ({"epochs": 0, "replay": {"batch_size": 8}}, "`epochs` must be an integer >= 1"),
    ],
)
def test_bad_arguments(digits, teacher, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        cache_teacher(
            **{"teacher": teacher, "dataset": digits, "taps": ["logits"], **change},
            path=tmp_path,
            verbose=0,
        )


def test_outputs_that_depend_on_the_batch_are_not_recorded(digits, teacher, tmp_path):
    moody = Teacher(teacher, batch_statistics=True)
    for one in (moody, TeacherEnsemble([moody])):
        with pytest.raises(ValueError, match="depend on the batch"):
            cache_teacher(one, digits, ["logits"], tmp_path)
    with pytest.raises(ValueError, match=r"records one teacher. Received: 2"):
        cache_teacher([teacher, teacher], digits, ["logits"], tmp_path)
