"""Columns that `attach` adds to a batch."""

import keras
import numpy as np
import pytest

from kzoo import data
from kzoo.data import batch_keys

from ._files import small_raw

LOGITS = np.random.default_rng(0).normal(size=(54, 4)).astype("float16")
STAGE = np.random.default_rng(1).normal(size=(54, 3, 3, 2)).astype("float32")


@pytest.fixture(scope="module")
def dataset():
    return data.Dataset("noise", small_raw(), validation_fraction=0.1)  # 54 images to train with


def recorded(numbers, epoch):
    return {"stage2": STAGE[numbers], "logits": LOGITS[numbers] + np.float16(epoch)}


def assert_recorded(x, numbers, epoch):
    teacher = x[batch_keys.TEACHER]
    assert set(teacher) == {"logits", "stage2"}
    assert (teacher["logits"].dtype, teacher["stage2"].dtype) == ("float16", "float32")
    np.testing.assert_array_equal(teacher["stage2"], STAGE[numbers])
    np.testing.assert_array_equal(teacher["logits"], LOGITS[numbers] + np.float16(epoch))


@pytest.mark.parametrize("sample_index", [False, True])
@pytest.mark.parametrize(("views", "sampler"), [(1, None), (2, None), (2, data.SameClassPairs(10))])
def test_attached_rows_belong_to_their_images(dataset, sample_index, views, sampler):
    asked = []

    def attach(numbers, epoch):
        assert numbers.dtype == "int64"
        assert type(epoch) is int
        asked.append((numbers.tolist(), epoch))
        return recorded(numbers, epoch)

    sequence = dataset.sequence(
        "train",
        10,
        shuffle=True,
        augment="shift",
        views=views,
        sampler=sampler,
        sample_index=sample_index,
        attach=attach,
        first_epoch=2,
    )
    asked.clear()
    for epoch in (2, 3):
        order = sequence.sample_numbers(epoch)
        for index, (x, _) in enumerate(sequence):
            numbers = np.tile(order[10 * index : 10 * index + 10], views)
            assert set(x) == {"inputs", "teacher"} | ({"sample_index"} if sample_index else set())
            assert_recorded(x, numbers, epoch)
            assert asked.pop() == (numbers.tolist(), epoch)
    assert not asked


def test_attach_is_asked_once_beforehand(dataset):
    asked = []

    def attach(numbers, epoch):
        asked.append((numbers.tolist(), epoch))
        return {"a": np.zeros(len(numbers))}

    sequence = dataset.sequence("train", 10, shuffle=True, attach=attach, first_epoch=7)
    assert asked == [([sequence.sample_numbers(7)[0]], 7)]


def test_attach_may_spoil_its_numbers(dataset):
    def attach(numbers, epoch):
        numbers[:] = -1
        return {"a": np.zeros(len(numbers))}

    sequence = dataset.sequence("train", 10, shuffle=True, sample_index=True, attach=attach)
    images, labels = dataset.arrays("train")
    for x, y in sequence:
        np.testing.assert_array_equal(images[x["sample_index"]], x["inputs"])
        np.testing.assert_array_equal(labels[x["sample_index"]], y)


def test_memory_mapped_columns(dataset, tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    logits = np.load(tmp_path / "logits.npy", mmap_mode="r")
    sequence = dataset.sequence(
        "train", 10, shuffle=True, attach=lambda numbers, epoch: {"logits": logits[numbers]}
    )
    x, _ = sequence[1]
    assert type(x["teacher"]["logits"]) is np.ndarray
    np.testing.assert_array_equal(x["teacher"]["logits"], LOGITS[sequence.sample_numbers(0)[10:20]])


def test_replay_of_the_augmentation(dataset):
    """Outputs are recorded on the augmented images of each epoch, then attached."""
    arguments = {"shuffle": True, "augment": "crop_flip", "seed": 5}
    recorder = dataset.sequence("train", 10, **arguments, sample_index=True)
    sums = np.full((3, 54), np.nan, "float32")
    for epoch in range(3):
        numbers = recorder.sample_numbers(epoch)
        assert len(np.unique(numbers)) == len(numbers)
        for index in range(len(recorder)):
            x, _ = recorder.batch(epoch, index)
            sums[epoch, x["sample_index"]] = x["inputs"].sum(axis=(1, 2, 3))
    assert recorder.epoch == 0
    training = dataset.sequence(
        "train", 10, **arguments, attach=lambda numbers, epoch: {"sum": sums[epoch, numbers]}
    )
    for _ in range(3):
        for x, _ in training:
            np.testing.assert_array_equal(x["teacher"]["sum"], x["inputs"].sum(axis=(1, 2, 3)))
    with pytest.raises(IndexError, match="Batch 6 does not exist"):
        recorder.batch(0, 6)


def test_attach_may_refuse(dataset):
    class Cache:
        def __len__(self):
            return 0  # an empty cache is still one

        def __call__(self, numbers, epoch):
            return recorded(numbers, epoch)

        def check(self, dataset, options):
            if options.augment is not None:
                raise ValueError(f"recorded without augmentation of {dataset.spec.name}")

    x, _ = dataset.sequence("train", 10, attach=Cache())[1]
    assert_recorded(x, np.arange(10, 20), 0)
    with pytest.raises(ValueError, match="recorded without augmentation of noise"):
        dataset.sequence("train", 10, attach=Cache(), augment="shift")


@pytest.mark.parametrize(
    ("attach", "message"),
    [
        (lambda numbers, epoch: STAGE[numbers], "must return a dict.*Received: ndarray"),
        (lambda numbers, epoch: {}, "must return a dict.*Received: dict"),
        (lambda numbers, epoch: {"a": STAGE}, r"one row a sample, 1 here.*\(54, 3, 3, 2\).*'a'"),
        (lambda numbers, epoch: {"a": 1.0}, r"shape=\(\), dtype=float64 for 'a'"),
        (lambda numbers, epoch: {"a": ["x"] * len(numbers)}, "dtype=<U1 for 'a'"),
    ],
)
def test_wrong_columns(dataset, attach, message):
    with pytest.raises(ValueError, match=message):
        dataset.sequence("train", 10, attach=attach)


@pytest.mark.parametrize(
    "later", [{"b": np.zeros(10)}, {"a": np.zeros(10, "float32")}, {"a": np.zeros((10, 1))}]
)
def test_columns_must_stay_as_they_are(dataset, later):
    sequence = dataset.sequence(
        "train",
        10,
        attach=lambda numbers, epoch: {"a": np.zeros(1)} if len(numbers) == 1 else later,
    )
    with pytest.raises(ValueError, match=r"at first {'a': \('float64', \(\)\)}. Received: {'"):
        sequence[0]


class Student(keras.Model):
    """Reads every column of a batch."""

    def __init__(self):
        super().__init__()
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(4)

    def call(self, x):
        numbers = keras.ops.cast(x["sample_index"], "float32")
        bias = keras.ops.cast(x["teacher"]["logits"], "float32")
        return self.dense(self.flatten(x["inputs"])) + bias + numbers[:, None] / 54


def _student(dataset):
    keras.utils.set_random_seed(0)
    model = Student()
    model(keras.tree.map_structure(keras.ops.convert_to_tensor, _feed(dataset.sequence)[0][0]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


def _feed(make, first_epoch=0):
    return make(
        "train",
        9,
        augment="shift",
        sampler=data.ClassUniform(3, 3),
        views=2,
        sample_index=True,
        attach=recorded,
        first_epoch=first_epoch,
    )


def _assert_fit_takes_every_column(dataset, make):
    by_hand, whole, resumed = (_student(dataset) for _ in range(3))
    sequence = _feed(dataset.sequence)
    for _ in range(3):
        for x, y in sequence:
            by_hand.train_on_batch(x, y)
    whole.fit(_feed(make), epochs=3, shuffle=False, verbose=0)
    resumed.fit(_feed(make), epochs=1, shuffle=False, verbose=0)
    resumed.fit(_feed(make, 1), initial_epoch=1, epochs=3, shuffle=False, verbose=0)
    for a, b, c in zip(
        by_hand.get_weights(), whole.get_weights(), resumed.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(b, c)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_fit_takes_every_column_and_resumes(dataset):
    _assert_fit_takes_every_column(dataset, dataset.sequence)


@pytest.mark.tensorflow
def test_fit_on_the_pipeline_takes_every_column_and_resumes(dataset):
    _assert_fit_takes_every_column(dataset, dataset.pipeline)


@pytest.mark.tensorflow
@pytest.mark.parametrize("sample_index", [False, True])
def test_pipeline_equals_sequence_and_knows_its_shapes(dataset, sample_index):
    arguments = {
        "shuffle": True,
        "attach": recorded,
        "sample_index": sample_index,
        "first_epoch": 2,
    }
    pipeline = dataset.pipeline("train", 9, **arguments)
    sequence = dataset.sequence("train", 9, **arguments)
    x = pipeline.element_spec[0]
    assert x["inputs"].shape.as_list() == [9, 6, 6, 1]
    assert x["teacher"]["stage2"].shape.as_list() == [9, 3, 3, 2]
    assert (x["teacher"]["logits"].dtype.name, "sample_index" in x) == ("float16", sample_index)
    for epoch in (2, 3):
        order = sequence.sample_numbers(epoch).reshape(-1, 9)
        batches = pipeline.as_numpy_iterator()
        for (x, y), (expected, labels), numbers in zip(batches, sequence, order, strict=True):
            keras.tree.map_structure(np.testing.assert_array_equal, x, expected)
            np.testing.assert_array_equal(y, labels)
            assert_recorded(x, numbers, epoch)
