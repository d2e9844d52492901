"""Trainers of the zoo around the models of a recipe."""

import inspect

from kzoo import registry
from kzoo.recipes import build
from kzoo.trainers import PlayerOptimizers, Trainer


def trainer(name, section, make_model, finished, clock, recipe, spec):
    """A trainer of the zoo and the classifier that comes out of it.

    Its constructor says by the names of its arguments what it works on: `student`, `model`,
    `models` (with the peers of the section) or `model_builder`, and `teacher` or `generalist`. A
    generalist is what comes out itself: it must be of the recipe's [model].

    Args:
        name: the trainer.
        section: a `TrainerSection` or a `MethodSection`.
        make_model: makes a classifier with weights of its own at each call.
        finished: trained classifiers by name; `"teacher"` where the trainer needs one.
        clock: the `Clock` of the training.
        recipe: the `schema.Recipe`.
        spec: the `kzoo.data.DatasetSpec`.

    Raises:
        ValueError: where the constructor refuses the arguments.
    """
    constructor = registry.get("trainer", name).target
    asked = inspect.signature(constructor).parameters
    made, first = {}, None
    if "model_builder" in asked:
        made["model_builder"] = make_model
    elif "generalist" not in asked:
        first = make_model()
        made |= {"student": first, "model": first}
        made["models"] = [first, *(build.model(peer, spec) for peer in _peers(section))]
    made |= {"teacher": finished.get("teacher"), "generalist": finished.get("teacher")}
    made["losses"] = [build.loss(one, clock) for one in section.losses]
    if getattr(section, "images", None):
        made["images"] = build.unlabelled(section.images, spec)
    made = {key: value for key, value in made.items() if key in asked}
    scheduled = {key: build.scheduled(value, clock) for key, value in section.args.items()}
    try:
        fitted = constructor(**{**made, **scheduled})
    except TypeError as error:
        raise ValueError(f"the trainer {name}: {error}") from None
    if not fitted.built:
        fitted.build((None, *spec.image_shape))
    return fitted, finished["teacher"] if "generalist" in asked else first or _single(fitted)


def optimizer(fitted, make, method, recipe):
    """One optimiser, or one for each player of a trainer with several.

    Args:
        fitted: a trainer or a plain model.
        make: function of an `OptimizerSection`.
        method: the `MethodSection`.
        recipe: the `schema.Recipe`.

    Raises:
        ValueError: for `optimizers` of players that there are not.
    """
    usual = recipe.optimizer
    if method.schedule is not None:
        usual = usual.model_copy(update={"schedule": method.schedule, "warmup_epochs": 0})
    players = list(fitted.players()) if isinstance(fitted, Trainer) else ["model"]
    unknown = sorted(set(method.optimizers) - set(players))
    if unknown:
        raise ValueError(
            f"optimizers of {method.name!r}: there is no player {unknown[0]!r}. Players: "
            f"{', '.join(players)}"
        )
    made = {name: make(method.optimizers.get(name, usual)) for name in players}
    return PlayerOptimizers(made) if len(made) > 1 else made[players[0]]


def outcomes(fitted, callbacks):
    """All classifiers that came out, by name: networks, heads, exits, ensembles."""
    found = dict(getattr(fitted, "classifiers", {}))
    if hasattr(type(fitted), "ensemble"):
        found["ensemble"] = fitted.ensemble
    for callback in callbacks:
        if hasattr(callback, "ensemble"):
            found["ensemble"] = callback.ensemble()
    return found


def _single(fitted):
    """Of heads on a trunk the first one, as the plain model that it is."""
    return next(model for name, model in fitted.classifiers.items() if name != "ensemble")


def _peers(section):
    return getattr(section, "peers", ())
