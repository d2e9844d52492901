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
    temperature: Annotated[
        bool,
        typer.Option("--temperature", help="study what temperatures do to the run's logits"),
    ] = False,
):
    """Redraw the tables and plots of finished runs from their results.json."""
    from kzoo.recipes import files, parts, plots, record, report

    if run is None:
        if temperature:
            raise ValueError("--temperature studies one run: give its folder.")
        for path in record.refresh(pathlib.Path()):
            console.print(f"Redrawn: {path}")
        return
    if temperature:
        _temperature(run)
        return
    results = files.read_json(run / files.RESULTS)
    console.print(report.terminal(report.rows_of(results), results["title"]))
    if several := parts.table(results):
        console.print(report.terminal(several, "All that came out of each training"))
    for sentence in filter(None, report.conclusions(results)):
        console.print(sentence)
    for path in plots.draw(results, run):
        console.print(f"Drawn: {path}")


def _temperature(run):
    from kzoo.recipes import report, temperature

    curves, path = temperature.study(run)
    console.print(report.terminal(temperature.table(curves), "Temperatures"))
    console.print(f"Drawn: {path}")
