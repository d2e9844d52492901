"""What cannot be trained is an error before anything is."""

from kzoo.recipes import _omitted, build, files


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
        seen = phase.sees(dataset)
        steps = seen.steps("train", recipe.data.batch_size)
        clock = build.Clock(phase.fit_epochs, steps, seen.spec.sizes["train"])
        fitted, _ = phase.make(untrained, clock)
        if phase.pretrain_epochs:
            fitted.pretraining(build.optimizer(recipe.optimizer, epochs=1, steps=steps))
        if phase.omit_classes:
            _omitted.check(dataset)


def _is_finished(phase, recipe, out):
    seeds = recipe.train.seeds[:1] if phase.shared else recipe.train.seeds
    folders = (files.phase_folder(out, seed, phase.name) for seed in seeds)
    return all((folder / files.METRICS).exists() for folder in folders)
