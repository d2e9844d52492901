"""kzoo: compact image classifiers for Keras 3 and the methods that train them well."""

import importlib as _importlib

from kzoo import (
    applications,
    callbacks,
    costs,
    data,
    ensembles,
    export,
    initializers,
    layers,
    losses,
    pretrained,
    registry,
    schedules,
    taps,
    trainers,
)

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "applications",
    "callbacks",
    "costs",
    "data",
    "ensembles",
    "export",
    "initializers",
    "layers",
    "losses",
    "pretrained",
    "recipes",
    "registry",
    "schedules",
    "taps",
    "testing",
    "trainers",
]


def __getattr__(name):
    """Import `recipes` and `testing`, which need more than Keras, when they are asked for."""
    if name in ("recipes", "testing"):
        return _importlib.import_module(f"kzoo.{name}")
    raise AttributeError(f"module 'kzoo' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
