import inspect
import re

import pytest

from kzoo import data

NAMES = [
    "BatchOptions",
    "ClassUniform",
    "CropFlip",
    "Dataset",
    "RawData",
    "SameClassPairs",
    "Sequence",
    "Shuffled",
    "SpecialistBlocks",
    "SuperclassUniform",
    "load",
    "reduced",
]


@pytest.mark.parametrize("name", NAMES)
def test_example_of_the_docstring_prints_what_it_says(name, tmp_path, monkeypatch, capsys):
    """The battery runs those of registered data sets."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(getattr(data, name)), re.S)
    exec(compile(code, name, "exec"), {"__name__": "example"})
    (promised,) = re.findall(r"# (.*)$", code, re.M)
    assert capsys.readouterr().out.strip() == promised
