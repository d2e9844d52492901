"""`kzoo train`."""

import pathlib
from typing import Annotated

import rich.markup
import typer

from kzoo.cli._app import app, console, one_line_errors


def _flag_help() -> str:
    from kzoo.recipes import flags

    # Defaults like [true] are no markup.
    lines = [rich.markup.escape(f"--{flag}  {text}") for flag, text in flags.known().items()]
    return "Any field of the recipe is a flag (values are TOML):\n\n" + "\n\n".join(lines)


class _TrainCommand(typer.core.TyperCommand):
    """`kzoo train`, whose help lists the flags of the recipe schema."""

    def get_help(self, ctx):
        self.epilog = _flag_help()
        return super().get_help(ctx)


@app.command(
    cls=_TrainCommand,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
@one_line_errors
def train(
    context: typer.Context,
    recipe: Annotated[pathlib.Path, typer.Argument(help="recipe.toml or its folder")],
    out: Annotated[
        pathlib.Path | None, typer.Option(help="folder of the run; runs/<name>-<id> where absent")
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="processes that train side by side, each on its share of the cores")
    ] = 1,
    smoke: Annotated[bool, typer.Option("--smoke", help="shrink everything to seconds")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="keep results, plots and card beside the recipe")
    ] = False,
):
    """Run a recipe, or continue one that was stopped.

    Example: kzoo train applications/digits-densenetbc.soft-targets --train.epochs 5
    """
    from kzoo.recipes import flags, parts, report, run, schema
    from kzoo.recipes import record as recording

    path = recipe / "recipe.toml" if recipe.is_dir() else recipe
    overrides = flags.parse(context.args)
    described = schema.load(path, overrides)
    if record and (overrides or smoke):
        raise ValueError("--record keeps the recipe as it stands: drop the other flags.")
    described = described.smoke() if smoke else described
    out = out or pathlib.Path("runs") / f"{path.resolve().parent.name}-{described.run_id}"
    results = run.train(described, out, jobs=jobs, console=console)
    console.print(report.terminal(report.rows_of(results), described.title))
    if several := parts.table(results):
        console.print(report.terminal(several, "All that came out of each training"))
    for sentence in filter(None, report.conclusions(results)):
        console.print(sentence)
    if record:
        recording.record(described, out, path.resolve().parent)
    console.print(f"Results, plots and exported models: {out}")
