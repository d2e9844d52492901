import sys

import numpy as np
import pytest

from kzoo import data

PIL_Image = pytest.importorskip("PIL.Image", reason="image folders need Pillow")


def _save(path, value=0, size=(5, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL_Image.new(mode, size, value).save(path)


def _fill(root, classes=("cat", "dog"), count=10, **options):
    for number, name in enumerate(classes):
        for i in range(count):
            _save(root / name / f"{i}.png", 10 * number + i, **options)


def test_one_folder_a_class(tmp_path):
    _fill(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    dataset = data.load(f"folder:{tmp_path}", validation_fraction=0.25)
    assert dataset.spec.class_names == ("cat", "dog")
    assert dataset.spec.image_shape == (4, 5, 1)
    assert dataset.spec.sizes == {"train": 12, "validation": 4, "test": 4}
    parts = [dataset.raw(split) for split in dataset.spec.sizes]
    pixels = np.concatenate([images[:, 0, 0, 0] for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    assert sorted(pixels) == list(range(20))
    np.testing.assert_array_equal(labels, pixels // 10)
    assert str(tmp_path) not in dataset.spec.source


def test_train_and_test_folders(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path / "test", count=3)
    raw = data.folder(tmp_path)
    assert (len(raw.train_images), len(raw.test_images)) == (20, 3 * 2)
    assert raw.test_images[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12]


def test_train_folder_alone_gives_a_test_split(tmp_path):
    _fill(tmp_path / "train")
    raw = data.folder("train/..", data_dir=tmp_path)
    assert (len(raw.train_images), len(raw.test_images)) == (16, 4)


def test_one_colour_image_makes_all_rgb(tmp_path):
    _fill(tmp_path, count=5)
    _save(tmp_path / "cat" / "0.png", (1, 2, 3), mode="RGB")
    _save(tmp_path / "dog" / "0.png", (7, 8, 9, 0), mode="RGBA")
    raw = data.folder(tmp_path)
    images = np.concatenate([raw.train_images, raw.test_images])
    assert images.shape == (10, 4, 5, 3)
    colours = {tuple(image[0, 0].tolist()) for image in images}
    assert {(1, 2, 3), (7, 8, 9), (4, 4, 4), (14, 14, 14)} <= colours


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        data.load(f"folder:{tmp_path / 'nowhere'}")


def test_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"one folder a class, at least two\. Found: none"):
        data.load(f"folder:{tmp_path}")


def test_single_class(tmp_path):
    _fill(tmp_path, classes=("cat",))
    with pytest.raises(ValueError, match=r"at least two\. Found: cat"):
        data.load(f"folder:{tmp_path}")


def test_class_without_images_is_named(tmp_path):
    _fill(tmp_path)
    (tmp_path / "eel").mkdir()
    with pytest.raises(ValueError, match="eel holds no image"):
        data.load(f"folder:{tmp_path}")


def test_class_of_the_test_images_alone_is_named(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path / "test", classes=("cat", "dog", "eel"))
    with pytest.raises(ValueError, match="classes that the training images lack: eel"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize("damage", ["text", "truncated", "empty"])
def test_corrupt_image_is_named(tmp_path, damage):
    _fill(tmp_path, size=(40, 30))
    bad = tmp_path / "dog" / "3.png"
    content = {"text": b"not an image", "truncated": bad.read_bytes()[:50], "empty": b""}
    bad.write_bytes(content[damage])
    with pytest.raises(ValueError, match=r"dog.3\.png cannot be decoded"):
        data.load(f"folder:{tmp_path}")


def test_deep_pixels_are_refused(tmp_path):
    _fill(tmp_path)
    _save(tmp_path / "cat" / "4.png", 1000, mode="I;16")
    with pytest.raises(ValueError, match=r"cat.4\.png cannot be decoded .*not 8 bits"):
        data.load(f"folder:{tmp_path}")


def test_other_size_is_named(tmp_path):
    _fill(tmp_path)
    _save(tmp_path / "dog" / "7.png", size=(5, 5))
    with pytest.raises(ValueError, match=r"0\.png has \(4, 5\), .*7\.png has \(5, 5\)"):
        data.load(f"folder:{tmp_path}")


def test_without_pillow(tmp_path, monkeypatch):
    _fill(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        data.load(f"folder:{tmp_path}")
