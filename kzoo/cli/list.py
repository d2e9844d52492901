"""`kzoo list`."""

from typing import Annotated

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
    table = rich.table.Table("kind", "name", "also called", "source", "what it is")
    for entry in registry.entries(kind):
        table.add_row(entry.kind, entry.name, ", ".join(entry.aliases), entry.paper, entry.summary)
    console.print(table)
    return None


def _list_weights():
    from kzoo import pretrained

    table = rich.table.Table("name", "application", "data", "classes", "parameters", "metrics")
    for name, record in pretrained.available().items():
        metrics = ", ".join(f"{key} {value:.4f}" for key, value in record.metrics.items())
        table.add_row(
            name,
            f"{record.application}({', '.join(f'{k}={v}' for k, v in record.args.items())})",
            record.dataset,
            str(record.classes),
            f"{record.parameters:,}",
            metrics,
        )
    console.print(table)
