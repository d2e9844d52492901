import gzip

import numpy as np
import pytest

from kzoo import data, pretrained

from ._files import MODULE, idx_bytes, write_fashion_mnist


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path, monkeypatch):
    """No files in the usual places, and no network."""
    for name, folder in (("TFDS_DATA_DIR", "tfds"), ("KERAS_HOME", "keras")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.delenv("KZOO_DATA_DIR", raising=False)
    monkeypatch.setattr(MODULE, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(pretrained, "download", _refuse)


def _refuse(*arguments, **options):
    raise ConnectionError("nobody there")


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_the_four_files(tmp_path, monkeypatch, zipped):
    arrays = write_fashion_mnist(tmp_path / "own", monkeypatch, zipped=zipped)
    raw = data.fashion_mnist(data_dir=tmp_path / "own")
    parts = (raw.train_images, raw.train_labels, raw.test_images, raw.test_labels)
    for part, expected in zip(parts, arrays, strict=True):
        np.testing.assert_array_equal(part.reshape(expected.shape), expected)
    assert (raw.train_images.shape, raw.class_names[9]) == ((30, 28, 28, 1), "Ankle boot")


def test_order_of_the_places(tmp_path, monkeypatch):
    monkeypatch.setenv("KZOO_DATA_DIR", str(tmp_path / "own"))
    places = {
        "keras/datasets/fashion-mnist": "Keras' cache",
        "debian": "Debian package dataset-fashion-mnist",
        "tfds/downloads/manual": "TFDS manual folder",
        "own/fashion-mnist": "IDX files in KZOO_DATA_DIR",
    }
    for folder, source in places.items():
        write_fashion_mnist(tmp_path / folder, monkeypatch)
        assert data.load("fashion_mnist", download=False).spec.source == source


def _spoil(tmp_path, monkeypatch, change, name="train-images-idx3-ubyte"):
    write_fashion_mnist(tmp_path, monkeypatch)
    file = tmp_path / f"{name}.gz"
    file.write_bytes(change(file.read_bytes()))


def _inside(change):
    return lambda zipped: gzip.compress(change(gzip.decompress(zipped)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[: len(c) // 2], "truncated or damaged"),
        (lambda c: c[:-4] + b"1234", "truncated or damaged"),
        (lambda c: c[:40] + bytes(40) + c[80:], "truncated or damaged"),
        (lambda c: b"", "expected the magic number 0x00000803, found 0x"),
        (lambda c: b"<html>404</html>", "expected the magic number 0x00000803, found 0x3c68746d"),
        (_inside(lambda c: c[:-1]), r"promises 23520 bytes .*, 23519 follow"),
        (_inside(lambda c: c + b"x"), "23521 follow"),
        (_inside(lambda c: c[:10]), "ends within its header"),
        (_inside(lambda c: b"\0\0\x0d\x03" + c[4:]), "found 0x00000d03"),
        (_inside(lambda c: c[:-1] + bytes([c[-1] ^ 1])), "SHA-256"),
        (lambda c: gzip.compress(idx_bytes(np.zeros((29, 28, 28)))), r"expected \(30, 28, 28\)"),
    ],
)
def test_bad_file_is_named(tmp_path, monkeypatch, change, message):
    _spoil(tmp_path, monkeypatch, change)
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte\.gz .*{message}") as caught:
        data.load("fashion_mnist", data_dir=tmp_path)
    assert "Replace it with the published file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fewer_labels_than_images(tmp_path, monkeypatch):
    few = gzip.compress(idx_bytes(np.zeros(19)))
    _spoil(tmp_path, monkeypatch, lambda c: few, "t10k-labels-idx1-ubyte")
    with pytest.raises(ValueError, match=r"t10k-labels.* holds shape \(19,\), expected \(20,\)"):
        data.load("fashion_mnist", data_dir=tmp_path)


def test_missing_file_is_named(tmp_path, monkeypatch):
    write_fashion_mnist(tmp_path, monkeypatch)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="lacks t10k-labels-idx1-ubyte"):
        data.load("fashion_mnist", data_dir=tmp_path)


@pytest.mark.parametrize("arguments", [{"download": False}, {"data_dir": "empty"}])
def test_files_that_are_nowhere(arguments):
    with pytest.raises(FileNotFoundError, match=r"apt install dataset-fashion.*KZOO_DATA_DIR"):
        data.load("fashion_mnist", **arguments)


def test_without_a_network_one_line_says_what_to_do():
    with pytest.raises(ConnectionError, match="apt install dataset-fashion-mnist") as caught:
        data.load("fashion_mnist")
    assert "KZOO_DATA_DIR" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_download_goes_into_the_cache_and_is_verified(tmp_path, monkeypatch):
    write_fashion_mnist(tmp_path / "server", monkeypatch)
    fetched = []

    def download(url, *, sha256, cache_subdir):
        name = url.rpartition("/")[2]
        fetched.append(name)
        target = tmp_path / "keras" / cache_subdir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((tmp_path / "server" / name).read_bytes())

    monkeypatch.setattr(pretrained, "download", download)
    for source in ("downloaded from http://fashion-mnist", "Keras' cache"):
        assert data.load("fashion_mnist").spec.source.startswith(source)
    assert len(fetched) == 4


def test_interrupted_download_goes_on(tmp_path, monkeypatch):
    cache = tmp_path / "keras" / "datasets" / "fashion-mnist"
    write_fashion_mnist(cache, monkeypatch)
    (cache / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ConnectionError, match="Could not download"):
        data.load("fashion_mnist")
