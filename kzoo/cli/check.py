"""`kzoo check`."""

import json
import sys
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
    build: Annotated[
        str | None, typer.Option(help="my_module:function that builds a trainer of your own")
    ] = None,
    fact: Annotated[
        list[str] | None, typer.Option(help="what it declares, for example training=noise")
    ] = None,
):
    """Run the battery of a kind on one thing of the zoo, or on your own class."""
    from kzoo import testing

    sys.path.insert(0, "")  # your module may stand where you are
    entry = testing.resolve(
        kind,
        name,
        args=_json(args, "--args") if args else None,
        input_shape=_shape(input_shape) if input_shape else None,
        build=build,
        **dict(_fact(text) for text in fact or ()),
    )
    report = testing.run(entry)
    table = rich.table.Table("check", "result", "seconds", "message", title=f"{kind} {name}")
    for result in report.results:
        table.add_row(result.check, result.status, f"{result.seconds:.1f}", result.message)
    console.print(table)
    if not report.passed:
        raise typer.Exit(1)


def _json(text, option):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} must be JSON ({error}). Received: {text}") from None


def _shape(text):
    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError:
        raise ValueError(
            f"--input-shape must be numbers with commas, such as 2,8,8,4. Received: {text}"
        ) from None


def _fact(text):
    """`name=value`; the value is JSON, or else a plain word."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise ValueError(f"--fact must be name=value, such as training=noise. Received: {text}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
