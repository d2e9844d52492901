"""`kzoo evaluate`."""

from typing import Annotated

import rich.table
import typer

from kzoo.cli._app import Model, app, console, one_line_errors


@app.command()
@one_line_errors
def evaluate(
    model: Model,
    dataset: Annotated[str | None, typer.Option("--data", help="data set by name")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test")] = "test",
):
    """Measure a model on a data set."""
    from kzoo import data
    from kzoo.recipes import models

    classifier, own = models.load(model)
    name = dataset or own
    if not name:
        raise ValueError(f"Which data set? {model} does not say. Give --data, for example digits.")
    loaded = data.load(name)
    measured = models.measure(classifier, loaded, split)
    table = rich.table.Table("model", "data", "split", *measured)
    table.add_row(model, name, split, *(f"{value:.4f}" for value in measured.values()))
    console.print(table)
