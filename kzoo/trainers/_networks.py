"""Networks that are trained side by side: their names, how they are read."""

import re

import keras

from kzoo import taps
from kzoo.trainers._teaching import OUTPUTS

LOGITS = "logits"


def player_names(models, argument="models"):
    """A name for each network: its own, with a number where several have the same.

    Raises:
        ValueError: for fewer than two networks, for what is no model, and for a model given twice.
    """
    given = list(models) if isinstance(models, list | tuple) else [models]
    wrong = [model for model in given if not isinstance(model, keras.Model)]
    if wrong or len(given) < 2:
        raise ValueError(
            f"`{argument}` must be a list of two or more keras.Model. Received: {wrong or given}"
        )
    owners = {}
    for model in given:
        for variable in model.variables:
            if owners.setdefault(id(variable), model) is not model:
                raise ValueError(
                    f"Two of `{argument}` share the variable {variable.path}. Make each network by "
                    "a call of its constructor of its own."
                )
    if len({id(model) for model in given}) < len(given):
        raise ValueError(f"A network is in `{argument}` twice. Make another by its constructor.")
    names = [re.sub(r"\W+", "_", model.name) for model in given]
    return [
        name if names.count(name) == 1 else f"{name}_{number}"
        for number, name in enumerate(names, start=1)
    ]


def readers(models, *further):
    """An extractor of outputs, logits and further taps for each network.

    Raises:
        ValueError: where a network has no such tap or the networks have different classes.
    """
    found = [taps.extractor(model, [OUTPUTS, LOGITS, *further]) for model in models]
    classes = [read.tap_shapes[LOGITS][-1] for read in found]
    if len(set(classes)) > 1:
        raise ValueError(
            "All networks must have the same classes in the same order. Received: "
            + ", ".join(f"{m.name!r} has {n}" for m, n in zip(models, classes, strict=True))
        )
    return found


def gives_probabilities(model):
    """Whether a classifier ends with a softmax."""
    return "predictions" in taps.available(model)
