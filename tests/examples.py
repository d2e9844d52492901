"""Run the examples of docstrings that no battery covers."""

import inspect
import re
import textwrap


def run_example(thing):
    """Execute every fenced ```python block of the docstring, in one namespace."""
    blocks = re.findall(r"```python\n(.*?)```", inspect.getdoc(thing), flags=re.S)
    assert blocks, f"{thing.__name__} has no example"
    namespace = {}
    for block in blocks:
        exec(textwrap.dedent(block), namespace)
