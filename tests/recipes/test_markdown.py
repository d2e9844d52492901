"""Generated parts of Markdown files."""

import pytest

from kzoo.recipes import markdown

TEXT = """before
<!-- kzoo report: begin -->
old
<!-- kzoo report: end -->
between
<!-- kzoo overview a.run: begin -->
<!-- kzoo overview a.run: end -->
after
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(TEXT)
    return path


def test_only_the_named_part_is_replaced(path):
    markdown.update(path, "new")
    assert path.read_text() == TEXT.replace("old", "new")
    markdown.update(path, "| table |", "overview a.run")
    changed = TEXT.replace("old", "new").replace("a.run: begin -->", "a.run: begin -->\n| table |")
    assert path.read_text() == changed


def test_parts_have_names(path):
    assert markdown.parts(path) == ["report", "overview a.run"]


def test_a_file_without_the_part_is_left_alone(path):
    with pytest.raises(ValueError, match="needs one line <!-- kzoo overview b: begin -->"):
        markdown.update(path, "new", "overview b")
    assert path.read_text() == TEXT


def test_table_sets_numbers_right():
    assert markdown.table([["name", "n"], ["a", "1"]]) == "| name | n |\n| --- | ---: |\n| a | 1 |"
