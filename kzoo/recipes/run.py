"""From a recipe to `results.json`: build, fit, measure, export."""

import functools
import hashlib
import json
import pathlib

import keras
import numpy as np
import rich.console

from kzoo import costs
from kzoo.recipes import (
    _choice,
    _environment,
    _exports,
    _jobs,
    _phase,
    _rehearsal,
    _training_costs,
    build,
    files,
    plan,
    plots,
    report,
)
from kzoo.recipes._fit import SPLITS
from kzoo.recipes._progress import Progress
from kzoo.recipes.schema import Recipe


def train(
    recipe: Recipe,
    out: str | pathlib.Path,
    *,
    jobs: int = 1,
    console: rich.console.Console | None = None,
) -> dict:
    """Run a recipe, or what is left of it, and return its results.

    Every finished epoch is kept. A killed run continues when the same call is
    made again and ends with the same weights; a finished run is only read.

    With `jobs` above 1, seeds (of methods side by side: seeds and methods) are trained in as many
    processes at a time, each on its share of the cores. Small models gain by it, since
    several cores share one small step badly. Sums are then ordered otherwise: weights differ
    from those of one process in the last digits. A script of yours must make this call under
    `if __name__ == "__main__":`, as `multiprocessing` asks.

    Args:
        recipe: what to run.
        out: the run's folder.
        jobs: processes that train at a time, from 1 to the number of cores.
        console: where progress is shown.

    Returns:
        What `results.json` holds.

    Raises:
        ValueError: in one line, for what the user can mend.
    """
    console = console or rich.console.Console()
    _jobs.check(jobs)
    out = files.writable_folder(out)
    _refuse_another(recipe, out)
    if (out / files.RESULTS).exists():
        console.print(f"Finished before: {out}. Delete the folder to run again.")
        return _finished(recipe, out)
    dataset = build.dataset(recipe.data)
    phases = plan.phases(recipe, dataset.spec)
    _rehearsal.rehearse(recipe, dataset, phases, out)
    mark = {"run_id": recipe.run_id, "backend": keras.backend.backend()}
    files.write_json(out / files.RUN, {**mark, "recipe": json.loads(recipe.identity)})
    rows = {phase.name: {"per_seed": []} for phase in phases}
    teachers, logs = {}, []
    if jobs > 1:
        shared = [phase for phase in phases if phase.shared]
        _train_seed(recipe, dataset, shared, recipe.train.seeds[0], {}, out, console)
        _jobs.train_all(recipe, phases, out, jobs, console)
    for seed in recipe.train.seeds:
        for phase, folder in _train_seed(recipe, dataset, phases, seed, teachers, out, console):
            metrics = files.read_json(folder / files.METRICS)
            rows[phase.name]["per_seed"].append({"seed": seed, **metrics})
            logs.append((seed, phase.name, folder / files.LOG))
    for row in rows.values():
        row |= _summary(row["per_seed"])
    chosen = _choice.phase(phases, rows)
    measured = {}
    for phase in phases:
        row = rows[phase.name]
        if phase.classifier not in measured:
            measured[phase.classifier] = _costs(phase)
        row |= measured[phase.classifier]
        row["weights_bytes"] = _weights_bytes(phase, row["per_seed"], out)
        if phase.losses is not None:
            row |= _method(recipe, phase, out, console)
    best = _choice.seed(rows[chosen.name]["per_seed"])
    load = functools.partial(classifier, recipe, out, dataset.spec, best, chosen.name)
    images = dataset.arrays("test")[0]
    results = {
        "title": recipe.title,
        "run_id": recipe.run_id,
        "recipe": recipe.model_dump(exclude_defaults=True),
        "recipe_sha256": hashlib.sha256(recipe.identity.encode()).hexdigest(),
        "published": _published(recipe, rows[chosen.name]),
        "rows": rows,
        "exported": chosen.name,
        "exported_seed": best,
        "exports": _exports.write(load, images, recipe.export.formats, out, console),
        "environment": {**_environment.environment(), "jobs": jobs},
    }
    report.write_history(out, logs)
    files.write_json(out / files.RESULTS, results)
    plots.draw(results, out)
    return results


def classifier(recipe: Recipe, out: pathlib.Path, spec, seed: int, row: str) -> keras.Model:
    """The trained classifier that a finished run produced for one seed of one row.

    Raises:
        ValueError: where the weights are not there.
    """
    (phase,) = [phase for phase in plan.phases(recipe, spec) if phase.name == row]
    model = phase.classifier()
    weights = files.phase_folder(out, seed, row) / files.WEIGHTS
    if not weights.exists():
        raise ValueError(f"No {weights}. Give the folder of a run as `kzoo train` made it.")
    model.load_weights(weights)
    return model


def _refuse_another(recipe, out):
    """Refuse a folder that holds another run, or one of another backend."""
    for name in (files.RUN, files.RESULTS):
        if not (out / name).exists():
            continue
        owner = files.read_json(out / name)
        if owner["run_id"] != recipe.run_id:
            raise ValueError(
                f"{out} holds the run {owner['run_id']} of another recipe; this one is "
                f"{recipe.run_id}. Give another folder with --out, or delete that one."
            )
        backend = owner.get("backend", keras.backend.backend())
        if backend != keras.backend.backend():
            raise ValueError(
                f"{out} holds a run on {backend}; this is {keras.backend.backend()}. Set "
                f"KERAS_BACKEND={backend} to go on, or give another folder with --out."
            )


def _finished(recipe, out):
    """The results of an earlier call; title and published figures are no part of what was run."""
    results = files.read_json(out / files.RESULTS)
    published = _published(recipe, results["rows"][results["exported"]])
    now = {**results, "title": recipe.title, "published": published}
    if now != results:
        files.write_json(out / files.RESULTS, now)
    return now


def _train_seed(recipe, dataset, phases, seed, shared, out, console):
    """Train all phases of one seed; returns those that were not shared before, with folders."""

    def progress(title, seed, steps, epochs, first_epoch):
        return Progress(console, f"seed {seed}  {title}", steps, epochs, first_epoch)

    finished, done = dict(shared), []
    for phase in phases:
        if phase.name in shared:
            continue
        folder = files.phase_folder(out, seed, phase.name)
        finished[phase.name] = _phase.train(
            phase,
            recipe,
            dataset,
            seed=seed,
            folder=folder,
            finished=finished,
            progress=progress,
        )
        done.append((phase, folder))
        if phase.shared:
            shared[phase.name] = finished[phase.name]
    return done


def _method(recipe, phase, out, console):
    """The losses of a method and what its training step costs; measured once."""
    path = files.phase_folder(out, recipe.train.seeds[0], phase.name) / files.COSTS
    if not path.exists():
        console.print(f"Measuring a step of {phase.name}")
        files.write_json(path, _training_costs.in_fresh_process(recipe, phase.name, out))
    return {"losses": list(phase.losses), "training": files.read_json(path)}


def _summary(per_seed):
    """Mean and sample standard deviation over the seeds, of each split's accuracy.

    Nothing where a seed diverged: the mean of the others would flatter.
    """
    summary = {}
    if any("diverged" in run for run in per_seed):
        return summary
    for split in SPLITS:
        values = [run[split]["accuracy"] for run in per_seed if split in run]
        if values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            summary[split] = {"accuracy": float(np.mean(values)), "spread": spread}
    return summary


def _costs(phase):
    model = phase.classifier()
    return {
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "multiply_adds": costs.multiply_adds(model),
        "latency_ms": costs.latency(model),
    }


def _weights_bytes(phase, per_seed, out):
    """The size of the weights' file, of the first seed that has one."""
    folders = (files.phase_folder(out, run["seed"], phase.name) for run in per_seed)
    sizes = [path.stat().st_size for f in folders if (path := f / files.WEIGHTS).exists()]
    return sizes[0] if sizes else None


def _published(recipe, row):
    accuracy = row.get("test", {}).get("accuracy")
    return {
        source: {"accuracy": value, "difference": accuracy - value}
        for source, value in recipe.published.items()
        if accuracy is not None
    }
