"""`kzoo list`."""

from typing import Annotated

import rich.box
import rich.table
import typer

from kzoo.cli._app import app, console, one_line_errors


@app.command("list")
@one_line_errors
def list_(
    kind: Annotated[str | None, typer.Argument(help="layer, loss, ..., weights")] = None,
):
    """List what is in the zoo."""
    from kzoo import registry

    if kind == "weights":
        return _list_weights()
    table = _table("kind", "name", "source", "what it is (also called)")
    for entry in registry.entries(kind):
        called = f" ({', '.join(entry.aliases)})" if entry.aliases else ""
        table.add_row(entry.kind, entry.name, entry.paper, entry.summary + called)
    console.print(table)
    return None


def _list_weights():
    from kzoo import pretrained

    table = _table("name", "parameters", "metrics", "constructor and data")
    for name, record in pretrained.available().items():
        metrics = "\n".join(f"{key}\n{value:.4f}" for key, value in record.metrics.items())
        call = f"{record.application}({', '.join(f'{k}={v}' for k, v in record.args.items())})"
        table.add_row(name, f"{record.parameters:,}", metrics, f"{call} on {record.dataset}")
    console.print(table)


def _table(*columns):
    """A table in which only the last column is ever broken."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        last = name == columns[-1]
        table.add_column(name, no_wrap=not last, overflow="fold" if last else "ellipsis")
    return table
