"""Recorded teachers: equal to live ones, resumable, and refused where they would be wrong."""

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
    _recorder,
    _recording,
    cache_teacher,
)
from tests.trainers.models import values
from tests.trainers.recorded import model

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def losses():
    return [SoftTargets(), Hint("stage1", "stage1")]


def trained(taught_by, batches, given=None, epochs=2):
    trainer = Distiller(model("student"), taught_by, given or losses())
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


def test_each_cache_reads_its_own_columns(digits, teacher, tmp_path):
    second = model("second", 3, seed=9)
    caches = [
        cache_teacher(each, digits, ["logits"], tmp_path / each.name, verbose=0)
        for each in (teacher, second)
    ]
    options = {"batch_size": 16, "shuffle": True, "seed": 3}
    live, _ = trained([teacher, second], digits.sequence("train", **options), SoftTargets())
    batches = digits.sequence("train", **options, attach=caches)
    recorded, _ = trained(caches, batches, SoftTargets())
    for one, other in zip(live, recorded, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    trainer = Distiller(model("student"), caches[0], SoftTargets())
    trainer.compile("sgd", SPARSE, run_eagerly=True)
    with pytest.raises(ValueError, match=r"no recorded outputs of the teacher in .*teacher"):
        trainer.fit(digits.sequence("train", 16, attach=caches[1]), shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="Two functions of `attach` return a column"):
        digits.sequence("train", 16, attach=[caches[0], caches[0]])


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
    monkeypatch.setattr(_recorder, "_SECONDS_BETWEEN_MARKS", -1.0)
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
    np.testing.assert_array_equal(cut.rows(numbers)["logits"], whole.rows(numbers)["logits"])


def test_half_precision(digits, teacher, tmp_path):
    full = cache_teacher(teacher, digits, ["logits"], tmp_path / "32", verbose=0)
    half = cache_teacher(teacher, digits, ["logits"], tmp_path / "16", dtype="float16", verbose=0)
    numbers = np.arange(40)
    assert half.rows(numbers)["logits"].dtype == "float16"
    np.testing.assert_allclose(
        half.rows(numbers)["logits"], full.rows(numbers)["logits"], rtol=2e-3, atol=1e-3
    )
    loud = Teacher(teacher, preprocess=keras.layers.Rescaling(1e8))
    with pytest.raises(ValueError, match=r"not finite in float16.*65504 need dtype='float32'"):
        cache_teacher(loud, digits, ["logits"], tmp_path / "loud", dtype="float16", verbose=0)


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


def test_a_teacher_of_half_the_bits_is_recorded(digits, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        narrow = model("teacher")
    finally:
        keras.config.set_dtype_policy("float32")
    taps = ["logits", "stage1"]
    cache_teacher(narrow, digits, taps, tmp_path, verbose=0)
    cache = cache_teacher(narrow, digits, taps, tmp_path, verbose=0)
    assert np.isfinite(cache.rows([0])["stage1"]).all()


def test_preprocessing_is_built_before_it_is_recognised(digits, teacher, tmp_path):
    first = keras.Sequential([keras.layers.Conv2D(1, 1)])
    wrapped = Teacher(teacher, preprocess=first)
    for _ in range(2):
        cache_teacher(wrapped, digits, ["logits"], tmp_path, verbose=0)


def test_a_try_that_failed_at_once_does_not_stand_in_the_way(digits, teacher, tmp_path):
    wrong = {"batch_size": 16, "augment": "shft"}
    with pytest.raises(ValueError, match="shft"):
        cache_teacher(teacher, digits, ["logits"], tmp_path, replay=wrong, verbose=0)
    assert not list(tmp_path.iterdir())
    large = Teacher(teacher, preprocess=lambda x: x * 1e9)
    with pytest.raises(ValueError, match="not finite in float16"):
        cache_teacher(large, digits, ["stage1"], tmp_path, dtype="float16", verbose=0)
    cache = cache_teacher(large, digits, ["logits"], tmp_path, verbose=0)
    assert cache.taps == ["logits"]
    assert [p.name for p in tmp_path.glob("*.npy")] == ["0-logits.npy"]


def test_numbers_of_numpy_are_numbers(digits, teacher, tmp_path):
    replay = {"batch_size": np.int64(16), "seed": np.int64(1), "augment": "shift"}
    cache = cache_teacher(teacher, digits, ["logits"], tmp_path, replay=replay, verbose=0)
    digits.sequence("train", 16, seed=1, augment="shift", attach=cache)


def test_a_refusal_offers_only_what_can_be_recorded(digits, teacher, tmp_path):
    cache = cache_teacher(teacher, digits, ["logits"], tmp_path, verbose=0)
    with pytest.raises(ValueError, match=r"replay=\{'batch_size': 16, .*'drop_remainder': True"):
        digits.sequence("train", 16, augment="shift", drop_remainder=True, attach=cache)
    for options in ({"augment": data.CropFlip(1)}, {"augment": "shift", "views": 2}):
        with pytest.raises(ValueError, match="wants an augmentation by name"):
            digits.sequence("train", 16, **options, attach=cache)
    with pytest.raises(ValueError, match="is recorded already"):
        cache_teacher(cache, digits, ["logits"], tmp_path / "other", verbose=0)
    with pytest.raises(ValueError, match="`taps` is empty"):
        cache_teacher(teacher, digits, [], tmp_path / "other", verbose=0)
