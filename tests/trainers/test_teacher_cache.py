"""The files of recorded teachers: damage, space, and whose they are."""

import json
import os

import keras
import numpy as np
import pytest

from kzoo.losses import SoftTargets
from kzoo.trainers import (
    Distiller,
    Teacher,
    TeacherCache,
    TeacherEnsemble,
    _recording,
    cache_teacher,
)
from tests.trainers.models import equal, values
from tests.trainers.recorded import model


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
        cache.rows(np.arange(5))["logits"],
        keras.ops.convert_to_numpy(expected),
        rtol=1e-4,
        atol=1e-5,
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
