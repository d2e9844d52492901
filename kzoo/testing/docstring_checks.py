"""Checks of every kind: the docstring is complete, its example runs, the name is exported."""

import contextlib
import importlib
import inspect
import io
import os
import re
import tempfile

from kzoo.registry import PACKAGES, Entry
from kzoo.testing.battery import check, expect
from kzoo.testing.subjects import make, own_arguments

_ORDER = (
    "Reference",
    "Args",
    "Call arguments",
    "Input shape",
    "Output shape",
    "Returns",
    "Raises",
    "Example",
)
_REQUIRED = {
    "layer": ("Call arguments", "Input shape", "Output shape", "Example"),
    "initializer": ("Example",),
    "loss": ("Example",),
    "schedule": ("Example",),
    "application": ("Example",),
    "trainer": ("Example",),
    "callback": ("Example",),
    "dataset": (),
}
_HEADING = re.compile(rf"^({'|'.join(_ORDER)})s?:", re.M)
_FENCE = re.compile(r"^( *)```python\n(.*?)^ *```", re.M | re.S)


@check(*PACKAGES)
def docstring(entry: Entry) -> None:
    """The docstring has its sections in order and names every argument."""
    text = inspect.getdoc(entry.target) or ""
    headings = [match.group(1) for match in _HEADING.finditer(text)]
    for heading in _required(entry):
        expect(heading in headings, f"The docstring has no section `{heading}:`.")
    ordered = sorted(headings, key=_ORDER.index)
    expect(headings == ordered, f"Sections are {headings}; the order is {ordered}.")
    first = text.split("\n", 1)[0]
    expect(first.endswith("."), f"The first line must be a sentence: {first!r}.")
    intro = _HEADING.split(text, maxsplit=1)[0].strip().split("\n\n")
    expect(len(intro) > 1, "A paragraph that says when to use it must follow the first line.")
    documented = _documented(text)
    missing = [name for name in own_arguments(entry.target) if name not in documented]
    expect(not missing, f"`Args:` does not describe {', '.join(missing)}.")


@check(*PACKAGES)
def example(entry: Entry) -> None:
    """The example of the docstring runs as it stands."""
    text = inspect.getdoc(entry.target) or ""
    parts = re.split(r"^Examples?:", text, flags=re.M)
    if entry.kind == "dataset" and len(parts) < 2:
        return
    expect(len(parts) > 1, "The docstring has no section `Example:`.")
    blocks = _FENCE.findall(parts[1])
    expect(blocks, "The example must stand in a fenced ```python block.")
    namespace = {"__name__": "example"}
    with _scratch_directory(), contextlib.redirect_stdout(io.StringIO()):
        for indent, block in blocks:
            code = re.sub(rf"^{indent}", "", block, flags=re.M)
            exec(compile(code, f"<example of {entry.name}>", "exec"), namespace)


@check(*PACKAGES)
def exported(entry: Entry) -> None:
    """The package of the kind exports the name."""
    package = importlib.import_module(PACKAGES[entry.kind])
    if entry.kind == "dataset":
        return
    expect(
        getattr(package, entry.name, None) is entry.target,
        f"{package.__name__} does not export {entry.name}: add the line to its __init__.py.",
    )


@check("layer", "initializer", "loss")
def attributes(entry: Entry) -> None:
    """An instance keeps one attribute for each constructor argument."""
    instance = make(entry)
    missing = [n for n in own_arguments(entry.target) if n not in dir(instance)]
    expect(not missing, f"No attribute for the argument {', '.join(missing)}.")


def _required(entry: Entry) -> list[str]:
    required = list(_REQUIRED[entry.kind])
    if entry.paper:
        required.append("Reference")
    if own_arguments(entry.target) and entry.kind != "dataset":
        required.append("Args")
    return required


def _documented(text: str) -> set[str]:
    """The argument names that the section `Args:` describes."""
    parts = re.split(r"^Args:", text, flags=re.M)
    section = _HEADING.split(parts[1], maxsplit=1)[0] if len(parts) > 1 else ""
    names = re.findall(r"^ {4}([\w`*, ]+?)(?: \(.*?\))?:", section, re.M)
    return {name.strip(" `*") for group in names for name in group.split(",")}


@contextlib.contextmanager
def _scratch_directory():
    """A temporary current directory, so that examples may write files."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as path:
        os.chdir(path)
        try:
            yield
        finally:
            os.chdir(before)
