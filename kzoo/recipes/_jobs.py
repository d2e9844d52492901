"""Phases trained side by side, each process on its own share of the cores."""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import signal
import threading

import keras
import rich.progress

from kzoo.recipes import _phase, build, files, plan, schema
from kzoo.recipes._fit import SPLITS


def train_all(recipe, phases, out: pathlib.Path, jobs: int, console) -> None:
    """Train what is left of a run, in up to `jobs` processes; each phase ends on disk.

    Shared phases must be finished. Phases that need one another stay in one process. Where one
    cannot be trained, or the user stops the run, all processes end at once; every finished epoch
    is kept.

    Raises:
        ValueError: in one line, where a phase cannot be trained or a process dies.
    """
    units = [unit for unit in _units(recipe, phases) if not _is_done(out, *unit)]
    if not units:
        return
    jobs = min(jobs, len(units))
    described = recipe.model_dump_json()
    context = multiprocessing.get_context("spawn")
    shares = context.SimpleQueue()
    for cores in _shares(jobs):
        shares.put(cores)
    bar = rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(), console=console, transient=True
    )
    others = set(multiprocessing.active_children())
    with concurrent.futures.ProcessPoolExecutor(jobs, context, _begin, (shares,)) as pool, bar:
        task = bar.add_task(f"{jobs} side by side", total=len(units))
        try:
            futures = {pool.submit(_train, described, str(out), *unit): unit for unit in units}
            for future in concurrent.futures.as_completed(futures):
                future.result()
                bar.advance(task)
                console.print(_line(out, *futures[future]), highlight=False)
        except BaseException as error:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if not isinstance(error, concurrent.futures.process.BrokenProcessPool):
                raise
            raise ValueError(
                "A process died: killed, no memory left, or a script that calls this outside of "
                '`if __name__ == "__main__":`. Finished epochs are kept: run the same command '
                "again, with fewer --jobs where memory was short."
            ) from None


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


def _is_done(out, seed, names):
    return all((files.phase_folder(out, seed, name) / files.METRICS).exists() for name in names)


def _line(out, seed, names):
    metrics = files.read_json(files.phase_folder(out, seed, names[-1]) / files.METRICS)
    if "diverged" in metrics:
        return f"seed {seed}  {names[-1]}  diverged"
    found = (f"{split} {metrics[split]['accuracy']:.3f}" for split in SPLITS if split in metrics)
    return f"seed {seed}  {names[-1]}  {'  '.join(found)}"


def _cores():
    # Not on macOS and Windows: there the processes share all cores.
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _shares(jobs):
    return [_cores()[number::jobs] for number in range(jobs)]


def _begin(shares):
    """Keep a new process to its share of the cores; the backend's threads are made after this."""
    share = shares.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share)
    # Ctrl-C reaches all processes; the one that was called ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """A killed run leaves nobody behind who would write into its folder."""
    multiprocessing.parent_process().join()
    os._exit(1)


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
