"""The networks that are grafted onto each other, one after the other in a ring."""

import re

import keras

from kzoo.callbacks._filters import kernels_of, weights_of


def checked(models):
    """The models as a list; refuse what is no list of two or more."""
    given = list(models) if isinstance(models, list | tuple) else [models]
    if len(given) < 2 or not all(isinstance(model, keras.Model) for model in given):
        raise ValueError(
            f"`models` must be a list of two or more keras.Model. Received: models={models!r}"
        )
    return given


def read_alike(models):
    """The weights of each network by its name.

    Raises:
        ValueError: for networks that are not built, have no convolution, share weights or differ.
    """
    networks = dict(zip(_names(models), map(_read, models), strict=True))
    _check_apart(networks)
    _check_alike(networks)
    return networks


def _names(models):
    """The name of each network, with a number where several have the same."""
    names = [re.sub(r"\W+", "_", model.name) for model in models]
    return [
        name if names.count(name) == 1 else f"{name}_{number}"
        for number, name in enumerate(names, start=1)
    ]


def _read(model):
    if not model.built:
        raise ValueError(
            f"The network {model.name!r} is not built, so it has no weights to graft. Call "
            f"{model.name}.build(input_shape) first."
        )
    weights = weights_of(model)
    if not kernels_of(weights):
        raise ValueError(
            f"FilterGrafting needs convolutions (keras.layers.Conv2D, DepthwiseConv2D, ...). "
            f"Received: {model.name!r} has none."
        )
    return weights


def _check_alike(networks):
    """Refuse networks of different architectures, naming the first layer that differs."""
    (first, expected), *others = networks.items()
    for name, weights in others:
        for a, b in zip(expected, weights, strict=False):
            if _shape(a) != _shape(b):
                break
        else:
            if len(weights) == len(expected):
                continue
            longer = max((expected, weights), key=len)
            a = b = longer[min(len(weights), len(expected))]
        raise ValueError(
            "Networks must have the same architecture to be grafted. Received: "
            f"{first!r} and {name!r} differ first at {_describe(a, expected)} and "
            f"{_describe(b, weights)}."
        )


def _shape(weight):
    return tuple(weight.variable.shape), weight.is_kernel, weight.kernel


def _describe(weight, weights):
    if weight not in weights:
        return "the end"
    return f"{weight.variable.path} {tuple(weight.variable.shape)}"


def _check_apart(networks):
    owners = {}
    for name, weights in networks.items():
        for weight in weights:
            owner = owners.setdefault(id(weight.variable), name)
            if owner != name:
                raise ValueError(
                    f"{owner!r} and {name!r} share the weight {weight.variable.path}. Make each "
                    "network by a call of its constructor of its own."
                )
