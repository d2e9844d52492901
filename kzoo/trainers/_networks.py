"""Networks that are trained side by side: their names, how they are read."""

import re

import keras

from kzoo import taps
from kzoo.taps._ends import ends_with_sigmoid
from kzoo.trainers._teaching import OUTPUTS
from kzoo.unique_names import unique_names

LOGITS = "logits"


def player_names(models, argument="models", reserved=()):
    """A name for each network: its own, with a number where several have the same.

    Args:
        models: the networks.
        argument: what they are called in messages.
        reserved: names that no network may have; it gets a number too.

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
    return unique_names([re.sub(r"\W+", "_", model.name) for model in given], reserved)


def scaled_policy(models):
    """The policy of the first network whose loss must be scaled, else of the first."""
    policies = [model.dtype_policy for model in models]
    return next((p for p in policies if p.compute_dtype == "float16"), policies[0])


def readers(models, *further):
    """An extractor of outputs, logits and further taps for each network.

    Raises:
        ValueError: where a network has no such tap or the networks have different classes.
    """
    found = [taps.extractor(check_softmax(model), [OUTPUTS, LOGITS, *further]) for model in models]
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


def check_softmax(model):
    """Refuse what has no distribution over classes: a sigmoid, or one output; returns the model."""
    shape = model.output_shape if isinstance(model, keras.Function | keras.Sequential) else None
    one = isinstance(shape, tuple) and len(shape) == 2 and shape[-1] == 1
    if one or ends_with_sigmoid(model):
        raise ValueError(
            f"{model.name!r} must end with a softmax or with logits of two or more classes that "
            "exclude each other: distributions over the classes are compared. Received: "
            f"{'one output' if one else 'a sigmoid'}. Write yes and no as two classes."
        )
    return model


def ends_alike(models, argument="models"):
    """Whether all end with a softmax.

    Raises:
        ValueError: where some do and some do not: one loss is compiled for all.
    """
    ends = [gives_probabilities(model) for model in models]
    if len(set(ends)) > 1:
        raise ValueError(
            f"All `{argument}` must end alike, with a softmax or with logits: one loss is compiled "
            "for all. Received: "
            + ", ".join(
                f"{m.name!r} with {'a softmax' if end else 'logits'}"
                for m, end in zip(models, ends, strict=True)
            )
        )
    return ends[0]
