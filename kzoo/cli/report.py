"""`kzoo report`."""

import pathlib
from typing import Annotated

import typer

from kzoo.cli._app import app, console, one_line_errors


@app.command("report")
@one_line_errors
def report_(
    run: Annotated[
        pathlib.Path | None,
        typer.Argument(help="a run; all of applications/ where absent"),
    ] = None,
):
    """Redraw the tables and plots of finished runs from their results.json."""
    from kzoo.recipes import files, record, report

    if run is None:
        for path in record.refresh(pathlib.Path()):
            console.print(f"Redrawn: {path}")
        return
    results = files.read_json(run / files.RESULTS)
    console.print(report.terminal(report.table(results), results["title"]))
    console.print(report.gain(results))
    for path in report.plots(results, run):
        console.print(f"Drawn: {path}")
