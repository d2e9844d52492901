import hashlib
import sys

import numpy as np
import pytest

from kzoo import data


def test_split_is_the_published_one():
    raw = data.digits()
    assert raw.train_images.shape == (1437, 8, 8, 1)
    assert raw.test_images.shape == (360, 8, 8, 1)
    assert (raw.train_images.dtype, raw.train_images.max(), raw.scale) == ("uint8", 16, 16)
    assert np.bincount(raw.test_labels).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    digest = hashlib.sha256(raw.test_images.tobytes()).hexdigest()
    assert digest[:16] == "1c2e7320a7724af6"


def test_default_split_is_fixed():
    images, _ = data.load("digits").raw("validation")
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "c6dd30fa09d44fc3"


def test_images_are_scikit_learns():
    from sklearn.datasets import load_digits

    raw, bunch = data.digits(), load_digits()
    joined = np.concatenate([raw.train_images, raw.test_images])[..., 0]
    assert sorted(i.tobytes() for i in joined.astype("float64")) == sorted(
        i.tobytes() for i in bunch.images
    )


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        data.digits()
