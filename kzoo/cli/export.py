"""`kzoo export`."""

import pathlib
from typing import Annotated

import typer

from kzoo.cli._app import Model, app, console, one_line_errors


@app.command("export")
@one_line_errors
def export_(
    model: Model,
    path: Annotated[pathlib.Path, typer.Argument(help="where the exported model goes")],
    format: Annotated[str, typer.Option(help="saved_model, litert or onnx")] = "saved_model",
    quantize: Annotated[str | None, typer.Option(help="int8 (LiteRT)")] = None,
    dataset: Annotated[
        str | None, typer.Option("--data", help="images that calibrate and verify")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an old file")] = False,
):
    """Export a model and verify the exported file against it."""
    from kzoo import data, export
    from kzoo.recipes import models

    classifier, own = models.load(model)
    name = dataset or own
    images = data.load(name).arrays("train")[0][:256] if name else None
    done = export.export_model(
        classifier,
        path,
        format=format,
        quantize=quantize,
        representative_data=images if quantize else None,
        samples=images[:32] if name else None,
        overwrite=overwrite,
    )
    console.print(str(done), markup=False)
