"""Phases trained side by side, each process on its own share of the cores."""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib

import keras
import rich.progress

from kzoo.recipes import _phase, build, files, plan, schema


def train_all(recipe, phases, out: pathlib.Path, jobs: int, console) -> None:
    """Train what is left of a run, in `jobs` processes; each phase ends on disk.

    Shared phases must be finished. Phases that need one another stay in one process.

    Raises:
        ValueError: in one line, where a phase cannot be trained or a process dies.
    """
    units = [unit for unit in _units(recipe, phases) if not _finished(out, *unit)]
    if not units:
        return
    described = recipe.model_dump_json()
    context = multiprocessing.get_context("spawn")
    shares = context.SimpleQueue()
    for cores in _shares(jobs):
        shares.put(cores)
    bar = rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(), console=console, transient=True
    )
    with (
        concurrent.futures.ProcessPoolExecutor(jobs, context, _begin, (shares,)) as pool,
        bar,
    ):
        task = bar.add_task(f"{jobs} side by side", total=len(units))
        futures = {pool.submit(_train, described, str(out), *unit): unit for unit in units}
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
                bar.advance(task)
                console.print(_line(out, *futures[future]), highlight=False)
        except concurrent.futures.process.BrokenProcessPool:
            raise ValueError(
                "A process died (killed, or no memory left). Finished epochs are kept: run the "
                "same command again, with fewer --jobs where memory was short."
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def check(jobs: int) -> None:
    """Refuse more processes than there are cores.

    Raises:
        ValueError: for a number that this machine cannot serve.
    """
    if not 1 <= jobs <= len(_cores()):
        raise ValueError(
            f"--jobs must be from 1 to {len(_cores())}, the cores of this machine. Received: {jobs}"
        )


def _units(recipe, phases):
    """What can be trained by itself: `(seed, names of phases)`."""
    own = [phase.name for phase in phases if not phase.shared]
    alone = [[name] for name in own] if recipe.methods else [own]
    return [(seed, names) for seed in recipe.train.seeds for names in alone]


def _finished(out, seed, names):
    return all((files.phase_folder(out, seed, name) / files.METRICS).exists() for name in names)


def _line(out, seed, names):
    metrics = files.read_json(files.phase_folder(out, seed, names[-1]) / files.METRICS)
    if "diverged" in metrics:
        return f"seed {seed}  {names[-1]}  diverged"
    accuracies = (f"{s} {metrics[s]['accuracy']:.3f}" for s in _splits(metrics))
    return f"seed {seed}  {names[-1]}  {'  '.join(accuracies)}"


def _splits(metrics):
    return [split for split in ("validation", "test") if split in metrics]


def _cores():
    # Not on macOS and Windows: there the processes share all cores.
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _shares(jobs):
    return [_cores()[number::jobs] for number in range(jobs)]


def _begin(shares):
    """Keep a new process to its share; its thread pools take their size from that."""
    share = shares.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share)


def _train(described, out, seed, names):
    """Train the phases of one unit, in a process of the pool."""
    recipe, dataset, phases, shared = _opened(described, out)
    finished = dict(shared)
    for phase in phases:
        if phase.name in names:
            finished[phase.name] = _train_phase(phase, recipe, dataset, seed, out, finished)


@functools.cache
def _opened(described, out):
    """What all units of a process need: the recipe, its data, phases and shared classifiers."""
    recipe = schema.Recipe.model_validate_json(described)
    dataset = build.dataset(recipe.data)
    phases = plan.phases(recipe, dataset.spec)
    shared, seed = {}, recipe.train.seeds[0]
    for phase in phases:
        if phase.shared:
            shared[phase.name] = _train_phase(phase, recipe, dataset, seed, out, shared)
    return recipe, dataset, phases, shared


def _train_phase(phase, recipe, dataset, seed, out, finished):
    return _phase.train(
        phase,
        recipe,
        dataset,
        seed=seed,
        folder=files.phase_folder(pathlib.Path(out), seed, phase.name),
        finished=finished,
        progress=lambda *_: keras.callbacks.Callback(),
    )
