"""What cannot be trained is an error before anything is."""

import functools

from kzoo.recipes import _omitted, _trainers, build, files


def rehearse(recipe, dataset, phases, out) -> None:
    """Make everything that is left to fit once, around teachers that have learnt nothing.

    Args:
        recipe: the `schema.Recipe`.
        dataset: the `kzoo.data.Dataset`.
        phases: the `plan.Phase`s.
        out: the run's folder; phases whose seeds are all finished are left out.

    Raises:
        ValueError: in one line, where a phase could not be trained.
    """
    untrained = {phase.name: phase.classifier() for phase in phases if phase.name == "teacher"}
    for phase in phases:
        if _is_finished(phase, recipe, out):
            continue
        clock = phase.clock(recipe, phase.sees(dataset))
        fitted, _ = phase.make(untrained, clock)
        make = functools.partial(build.optimizer, epochs=1, steps=clock.steps)
        if phase.pretrain_epochs:
            fitted.pretraining(make(recipe.optimizer))
        _trainers.optimizer(fitted, make, phase.method, recipe)
        build.callbacks(phase.method.callbacks, out, recipe.optimizer.learning_rate)
        shown = phase.method.shows
        if shown is not None and shown not in ("ensemble", *getattr(fitted, "classifiers", ())):
            raise ValueError(f"shows of {phase.name!r}: no classifier {shown!r} comes out.")
        if phase.omit_classes:
            _omitted.check(dataset)


def _is_finished(phase, recipe, out):
    seeds = recipe.train.seeds[:1] if phase.shared else recipe.train.seeds
    folders = (files.phase_folder(out, seed, phase.name) for seed in seeds)
    return all((folder / files.METRICS).exists() for folder in folders)
