"""`kzoo check`."""

import json
from typing import Annotated

import rich.table
import typer

from kzoo.cli._app import app, console, one_line_errors


@app.command()
@one_line_errors
def check(
    kind: Annotated[str, typer.Argument(help="layer, initializer, loss, application or trainer")],
    name: Annotated[str, typer.Argument(help="a name of the zoo, or your own module:Class")],
    args: Annotated[str | None, typer.Option(help="constructor arguments as JSON")] = None,
    input_shape: Annotated[str | None, typer.Option(help="for example 2,8,8,4")] = None,
):
    """Run the battery of a kind on one thing of the zoo, or on your own class."""
    from kzoo import testing

    entry = testing.resolve(
        kind,
        name,
        args=json.loads(args) if args else None,
        input_shape=tuple(int(n) for n in input_shape.split(",")) if input_shape else None,
    )
    report = testing.run(entry)
    table = rich.table.Table("check", "result", "seconds", "message", title=f"{kind} {name}")
    for result in report.results:
        table.add_row(result.check, result.status, f"{result.seconds:.1f}", result.message)
    console.print(table)
    if not report.passed:
        raise typer.Exit(1)
