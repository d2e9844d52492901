import pytest

from kzoo import data, registry

from ._files import small_raw


def test_unknown_name_offers_the_nearest():
    with pytest.raises(ValueError, match=r"Unknown dataset: 'fashon'\. .*'FashionMNIST'"):
        data.load("fashon")


@pytest.mark.parametrize("name", ["folder", "folder:", "tfds", "tfds:", "digits:8", "digits:"])
def test_missing_or_surplus_argument(name):
    with pytest.raises(ValueError, match=f"Write the name of this data set.*'{name}'"):
        data.load(name)


def test_registered_data_sets_are_exported():
    for entry in registry.entries("dataset"):
        assert getattr(data, entry.name) is entry.target


def test_data_set_of_a_user_is_loaded_by_name(monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    @registry.register("dataset", name="noise")
    def noise(*, data_dir=None, download=True):
        """Noise."""
        assert (data_dir, download) == ("here", False)
        return small_raw()

    dataset = data.load(
        "noise", validation_fraction=0.2, train_size=8, data_dir="here", download=False
    )
    assert dataset.spec.name == "noise"
    assert dataset.spec.sizes == {"train": 8, "validation": 12, "test": 20}


def test_spec_name_is_the_canonical_one():
    assert data.load("Digits").spec.name == "digits"
