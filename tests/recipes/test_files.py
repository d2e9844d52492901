import os

import pytest

from kzoo.recipes import files


def test_a_failed_write_keeps_the_old_file_and_says_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    files.write_json(path, {"a": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match=r"No space left on device\. Free some space"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"Cannot write to .*file/run.*--out"):
        files.writable_folder(tmp_path / "file" / "run")


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "results.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"results\.json is damaged"):
        files.read_json(tmp_path / "results.json")
    with pytest.raises(ValueError, match=r"No metrics\.json in .* Is the run finished"):
        files.read_json(tmp_path / "metrics.json")


def test_nan_never_enters_a_result(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "results.json", {"loss": float("nan")})
