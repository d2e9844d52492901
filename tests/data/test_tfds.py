import importlib
import sys

import numpy as np
import pytest

from kzoo import data

from ._files import write_fashion_mnist

tensorflow_only = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A TFDS folder in which our digits are prepared."""
    pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds")
    data.load("tfds:kzoo_digits", data_dir=folder)
    return folder


@tensorflow_only
def test_our_digits_are_the_same_through_tfds(prepared):
    through, direct = (
        data.load("tfds:kzoo_digits", data_dir=prepared, download=False),
        data.digits(),
    )
    assert through.spec.sizes == {"train": 1293, "validation": 144, "test": 360}
    assert through.spec.class_names == direct.class_names
    assert through.spec.source == "TensorFlow Datasets kzoo_digits/1.0.0"
    images, labels = through.raw("test")
    ours = sorted((i.tobytes(), n) for i, n in zip(images, labels.tolist(), strict=True))
    expected = zip(direct.test_images, direct.test_labels.tolist(), strict=True)
    assert ours == sorted((i.tobytes(), n) for i, n in expected)


@tensorflow_only
def test_order_of_a_prepared_set_is_fixed(prepared):
    first, second = (data.load("tfds:kzoo_digits", data_dir=prepared) for _ in range(2))
    np.testing.assert_array_equal(first.raw("train")[0], second.raw("train")[0])


@tensorflow_only
def test_our_builder_is_found_by_tfds_itself(prepared, library):
    dataset = library.load("kzoo_digits", split="test", data_dir=prepared, download=False)
    assert len(dataset) == 360


@tensorflow_only
def test_our_fashion_mnist_builder_uses_our_reader(tmp_path, monkeypatch, library):
    arrays = write_fashion_mnist(tmp_path / "files", monkeypatch)
    monkeypatch.setenv("KZOO_DATA_DIR", str(tmp_path / "files"))
    raw = data.tfds("kzoo_fashion_mnist", data_dir=tmp_path / "tfds")
    assert sorted(raw.train_images.reshape(30, -1).tolist()) == sorted(
        arrays[0].reshape(30, -1).tolist()
    )


def _pretend(library, name, folder, sizes):
    """The description of a prepared set, without its images."""
    splits = library.core.splits
    builder = library.builder(name, data_dir=folder)
    builder.info.set_splits(
        splits.SplitDict(
            [
                splits.SplitInfo(name=split, shard_lengths=[size], num_bytes=1)
                for split, size in sizes.items()
            ]
        )
    )
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)


@tensorflow_only
@pytest.mark.parametrize(
    ("name", "published", "shape", "sizes"),
    [
        ("cifar10", {"train": 50, "test": 50}, (32, 32, 3), (45, 5, 50)),
        ("mnist", {"train": 50, "validation": 50}, (28, 28, 1), (45, 5, 50)),
        ("eurosat", {"train": 200}, (64, 64, 3), (144, 16, 40)),
    ],
)
def test_packaged_builders(library, tmp_path, name, published, shape, sizes):
    _pretend(library, name, tmp_path, published)
    with library.testing.mock_data(num_examples=max(published.values()), data_dir=tmp_path):
        dataset = data.load(f"tfds:{name}", data_dir=tmp_path, download=False)
    assert dataset.spec.image_shape == shape
    assert tuple(dataset.spec.sizes.values()) == sizes
    assert (dataset.spec.classes, dataset.spec.scale) == (10, 255)


@tensorflow_only
def test_set_without_training_images(library, tmp_path):
    _pretend(library, "mnist", tmp_path, {"test": 50})
    with pytest.raises(ValueError, match=r"no `train` split\. It has: test"):
        data.load("tfds:mnist", data_dir=tmp_path)


@tensorflow_only
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mnis", ValueError, "has no 'mnis'. Near names: .*mnist"),
        ("imdb_reviews", ValueError, r"no image classification .* has: \('text', 'label'\)"),
        ("cats_vs_dogs", ValueError, "differ in size.*folder:<path>"),
        ("mnist", FileNotFoundError, "not prepared in .*download=True"),
    ],
)
@pytest.mark.usefixtures("library")
def test_sets_that_cannot_be_loaded(tmp_path, name, error, message):
    with pytest.raises(error, match=message):
        data.load(f"tfds:{name}", data_dir=tmp_path, download=False)


@tensorflow_only
@pytest.mark.usefixtures("library")
def test_host_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(_module(), "unreachable", lambda url: "no answer within 10 seconds")
    with pytest.raises(ConnectionError, match=r"host of tfds:mnist, .*no answer") as caught:
        data.load("tfds:mnist", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_without_tfds(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match="pip install tensorflow tensorflow-datasets"):
        data.load("tfds:mnist")


def _module():
    return importlib.import_module("kzoo.data.tfds")
