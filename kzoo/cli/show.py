"""`kzoo show`."""

import inspect
import json
from typing import Annotated

import rich.markdown
import typer

from kzoo.cli._app import app, console, one_line_errors


@app.command()
@one_line_errors
def show(name: Annotated[str, typer.Argument(help="any name or alias, for example FitNets")]):
    """Show one thing: signature, documentation, source."""
    from kzoo import registry

    for entry in registry.find(name):
        console.rule(f"{entry.kind} {entry.name}")
        module = entry.target.__module__.rpartition(".")[0]
        signature = str(inspect.signature(entry.target))
        console.print(f"{module}.{entry.name}{signature}", markup=False)
        for title, value in (
            ("also called", ", ".join(entry.aliases)),
            ("source", entry.paper),
            ("parameters", _counts(entry)),
        ):
            if value:
                console.print(f"{title}: {value}", markup=False)
        console.print(rich.markdown.Markdown(inspect.cleandoc(entry.target.__doc__ or "")))


def _counts(entry):
    counts = entry.facts.get("parameters", [])
    return "; ".join(f"{json.dumps(args)} {count:,}" for args, count in counts)
