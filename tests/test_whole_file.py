import os

import pytest

from kzoo.whole_file import whole_file
from tests.examples import run_example


def fill(path, text):
    with whole_file(path) as unfinished:
        unfinished.write_text(text)


def test_folders_are_made_and_files_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "notes.txt"
    fill(path, "first")
    fill(path, "second")
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_the_suffix_is_kept_for_writers_that_look_at_it(tmp_path):
    with whole_file(tmp_path / "model.weights.h5") as unfinished:
        assert unfinished.name.endswith("model.weights.h5")
        unfinished.touch()


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, error):
    path = tmp_path / "notes.txt"
    fill(path, "old")

    def fail(*args):
        raise error

    if step != "write":
        monkeypatch.setattr(os, step, fail)

    def write():
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            if step == "write":
                fail()

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_process_has_an_unfinished_file_of_its_own(tmp_path, monkeypatch):
    with whole_file(tmp_path / "a.txt") as one:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with whole_file(tmp_path / "a.txt") as other:
            assert one != other
            other.write_text("other")
        one.write_text("one")
    assert (tmp_path / "a.txt").read_text() == "one"


def test_the_example_writes_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_example(whole_file)
    assert (tmp_path / "notes.txt").read_text() == "all of it"
