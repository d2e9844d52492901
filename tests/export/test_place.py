import os

import pytest

from kzoo.export._place import place


def write(target, content="new", *, overwrite=False, folder=False):
    with place(target, overwrite=overwrite) as path:
        assert path.name == target.name
        if folder:
            path.mkdir()
            path = path / "saved_model.pb"
        path.write_text(content)


def fail(target):
    with place(target, overwrite=True) as path:
        path.write_text("half")
        raise RuntimeError


def test_a_file_and_its_folders_are_made(tmp_path):
    write(tmp_path / "a" / "b" / "m.onnx")
    assert (tmp_path / "a" / "b" / "m.onnx").read_text() == "new"
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["m.onnx"]


def test_what_exists_is_replaced_only_when_asked(tmp_path):
    target = tmp_path / "m.onnx"
    target.write_text("old")
    with pytest.raises(FileExistsError, match=r"m.onnx exists already. .* pass overwrite=True"):
        write(target)
    assert target.read_text() == "old"
    write(target, overwrite=True)
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_only_saved_models_and_empty_folders_are_replaced(tmp_path):
    target = tmp_path / "served"
    target.mkdir()
    write(target, folder=True)
    write(target, "newer", folder=True, overwrite=True)
    assert (target / "saved_model.pb").read_text() == "newer"
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years")
    with pytest.raises(FileExistsError, match="holds no SavedModel, so it is not replaced"):
        write(tmp_path / "precious", folder=True, overwrite=True)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years"


def test_a_failure_inside_leaves_nothing_but_what_was_there(tmp_path):
    with pytest.raises(RuntimeError):
        fail(tmp_path / "a" / "m.onnx")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(RuntimeError):
        fail(tmp_path / "m.onnx")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("m.onnx", "old")]


def test_a_full_disk_at_the_last_step_brings_the_old_file_back(tmp_path, monkeypatch):
    target = tmp_path / "m.onnx"
    target.write_text("old")
    replace = os.replace

    def full(source, destination):
        if str(destination) == str(target) and not str(source).endswith("old"):
            raise OSError(28, "No space left on device")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"Cannot write .*m.onnx \(No space left on device\)"):
        write(target, overwrite=True)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("m.onnx", "old")]


def test_a_folder_that_cannot_be_written_gives_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"Cannot write .*m.onnx \(.*\). Choose a folder") as caught:
        write(tmp_path / "file" / "m.onnx")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "no folder"
