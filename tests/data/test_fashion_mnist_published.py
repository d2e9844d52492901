import numpy as np

from kzoo import data
from tests.fashion import needs_fashion_mnist

pytestmark = needs_fashion_mnist


def test_published_files():
    dataset = data.load("fashion_mnist", download=False)
    assert dataset.spec.sizes == {"train": 54000, "validation": 6000, "test": 10000}
    np.testing.assert_allclose(
        [dataset.spec.mean[0], dataset.spec.std[0]], [0.2860, 0.3530], atol=1e-4
    )
    for split, count in (("train", 5400), ("validation", 600), ("test", 1000)):
        assert np.bincount(dataset.raw(split)[1]).tolist() == [count] * 10
    assert [dataset.spec.class_names[i] for i in dataset.raw("test")[1][:3]] == [
        "Ankle boot",
        "Pullover",
        "Trouser",
    ]
