"""Keep a finished run in the tree: results, history, plots, card, weights."""

import pathlib
import shutil

from kzoo import pretrained
from kzoo.recipes import build, files, plan, plots, report, run

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
    plots.draw(results, folder)
    if (folder / files.CARD).exists():
        report.update_markdown(folder / files.CARD, report.card(results))
    if recipe.export.weights:
        _add_weights(recipe, results, out, folder.name)


def refresh(root: pathlib.Path) -> list[pathlib.Path]:
    """Redraw every card, plot and the README's table below a checkout's root.

    Raises:
        ValueError: where there is no `applications/` folder.
    """
    applications = root / "applications"
    if not applications.is_dir():
        raise ValueError("No applications/ here. Run `kzoo report` from the root of a checkout.")
    redrawn = []
    for path in sorted(applications.glob(f"*/{files.RESULTS}")):
        results = files.read_json(path)
        plots.draw(results, path.parent)
        report.update_markdown(path.parent / files.CARD, report.card(results))
        redrawn.append(path.parent / files.CARD)
    report.update_markdown(root / files.CARD, report.index(applications))
    return [*redrawn, root / files.CARD]


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
