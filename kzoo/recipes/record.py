"""Keep a finished run in the tree: results, history, plots, card, weights."""

import pathlib
import shutil

from kzoo import pretrained
from kzoo.recipes import (
    build,
    files,
    markdown,
    overview,
    plan,
    plots,
    report,
    run,
    temperature,
)

_PROBE_IMAGES = 8


def record(recipe, out: pathlib.Path, folder: pathlib.Path) -> None:
    """Copy what a run recorded beside its recipe, and its weights into the zoo.

    Args:
        recipe: the run's recipe.
        out: the run's folder.
        folder: the recipe's folder, `applications/<run>`.
    """
    results = files.read_json(out / files.RESULTS)
    for name in (files.RESULTS, files.HISTORY):
        shutil.copyfile(out / name, folder / name)
    for path in (out / files.PLOTS).glob(temperature.PLOT):
        files.writable_folder(folder / files.PLOTS)
        shutil.copyfile(path, folder / files.PLOTS / path.name)
    _redraw(results, folder)
    if recipe.export.weights:
        _add_weights(recipe, results, out, folder.name)


def refresh(root: pathlib.Path) -> list[pathlib.Path]:
    """Redraw every card and plot below a checkout's root, and the tables of README and docs.

    Raises:
        ValueError: where there is no `applications/` folder.
    """
    applications = root / "applications"
    if not applications.is_dir():
        raise ValueError("No applications/ here. Run `kzoo report` from the root of a checkout.")
    redrawn = []
    for path in sorted(applications.glob(f"*/{files.RESULTS}")):
        redrawn += _redraw(files.read_json(path), path.parent)
    for page in (root / files.CARD, *sorted(root.glob("docs/*.md"))):
        for part in _overviews(page):
            results = files.read_json(applications / part.split()[1] / files.RESULTS)
            markdown.update(page, markdown.table(overview.table(results)), part)
            redrawn.append(page)
    markdown.update(root / files.CARD, report.index(applications))
    return [*dict.fromkeys([*redrawn, root / files.CARD])]


def _overviews(page):
    """The parts of a page that show a recorded leaderboard in short: `overview RUN`."""
    return [part for part in markdown.parts(page) if part.startswith("overview ")]


def _redraw(results, folder):
    """Draw what stands beside a recipe; the card is the author's to begin."""
    plots.draw(results, folder)
    card = folder / files.CARD
    if card.exists():
        markdown.update(card, report.card(results))
    return [card] if card.exists() else []


def _add_weights(recipe, results, out, name):
    dataset = build.dataset(recipe.data)
    seed = results["exported_seed"]
    row = results["exported"]
    measured = next(r for r in results["rows"][row]["per_seed"] if r["seed"] == seed)
    (phase,) = [phase for phase in plan.phases(recipe, dataset.spec) if phase.name == row]
    section = phase.model or recipe.model
    pretrained.add(
        run.classifier(recipe, out, dataset.spec, seed, row),
        name,
        application=section.name,
        args={
            "input_shape": list(dataset.spec.image_shape),
            "classes": dataset.spec.classes,
            **section.args,
        },
        dataset=dataset.spec.name,
        classes=dataset.spec.classes,
        class_names=list(dataset.spec.class_names),
        metrics={f"{split}_accuracy": measured[split]["accuracy"] for split in ("test",)},
        recipe=f"applications/{name}/recipe.toml",
        images=dataset.arrays("test")[0][:_PROBE_IMAGES],
    )
