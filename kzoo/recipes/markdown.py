"""Tables in Markdown, and the parts of Markdown files that are generated."""

import pathlib
import re

from kzoo.recipes import files


def table(rows: list[list[str]]) -> str:
    """A Markdown table, the header first; numbers are set right."""
    header, *body = rows
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])


def parts(path: pathlib.Path) -> list[str]:
    """The names of the generated parts of a file: `<!-- kzoo NAME: begin -->`."""
    return re.findall(r"<!-- kzoo (.+?): begin -->", path.read_text(encoding="utf-8"))


def update(path: pathlib.Path, text: str, part: str = "report") -> None:
    """Replace a generated part: what stands between its two markers.

    Raises:
        ValueError: where the file has no such markers.
    """
    begin, end = (f"<!-- kzoo {part}: {side} -->" for side in ("begin", "end"))
    old = path.read_text(encoding="utf-8")
    head, _, rest = old.partition(begin)
    if old.count(begin) != 1 or old.count(end) != 1 or end not in rest:
        raise ValueError(f"{path} needs one line {begin} and, below it, one line {end}.")
    files.write_text(path, f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
