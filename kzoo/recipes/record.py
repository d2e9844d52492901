"""Keep a finished run in the tree: results, history, plots, card, weights."""

import pathlib
import shutil

from kzoo import pretrained
from kzoo.recipes import (
    build,
    files,
    gains,
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
    _copy_study(out, folder)
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
    shorts = list(_shorts(root))
    redrawn = []
    for path in sorted(applications.glob(f"*/{files.RESULTS}")):
        redrawn += _redraw(files.read_json(path), path.parent)
    for page, part, rows in shorts:
        markdown.update(page, markdown.table(rows), part)
        redrawn.append(page)
    markdown.update(root / files.CARD, report.index(applications))
    return [*dict.fromkeys([*redrawn, root / files.CARD])]


def _shorts(root):
    """The parts of README and docs that show runs in short: page, part, table.

    `overview NAME` is the leaderboard of a run, `gains NAME NAME ...` what its rows gained.
    """
    for page in (root / files.CARD, *sorted(root.glob("docs/*.md"))):
        for part in markdown.parts(page):
            kind, _, names = part.partition(" ")
            if kind == "overview":
                yield page, part, overview.table(_results(root, page, part, names))
            elif kind == "gains":
                up = "../" * (len(page.relative_to(root).parts) - 1)
                runs = {
                    f"[{name}]({up}applications/{name})": _results(root, page, part, name)
                    for name in names.split()
                }
                yield page, part, gains.table(runs)


def _results(root, page, part, name):
    path = root / "applications" / name / files.RESULTS
    if not path.exists():
        raise ValueError(
            f"{page} has a part {part!r}, but there is no {path}. Record that run "
            "(`kzoo train ... --record`) or mend the part's name."
        )
    return files.read_json(path)


def _copy_study(out, folder):
    """The plot of `kzoo report --temperature`, which cannot be redrawn from the record."""
    made, kept = (place / files.PLOTS / temperature.PLOT for place in (out, folder))
    kept.unlink(missing_ok=True)
    if made.exists():
        files.writable_folder(kept.parent)
        shutil.copyfile(made, kept)


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
