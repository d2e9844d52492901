"""kzoo: compact image classifiers for Keras 3 and the methods that train them well."""

import importlib as _importlib

__version__ = "0.1.0"

_PUBLIC = (
    "applications",
    "callbacks",
    "data",
    "export",
    "initializers",
    "layers",
    "losses",
    "pretrained",
    "recipes",
    "registry",
    "taps",
    "testing",
    "trainers",
)

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    """Import a sub-package when it is first asked for, so that `import kzoo` is free."""
    if name in _PUBLIC:
        return _importlib.import_module(f"kzoo.{name}")
    raise AttributeError(f"module 'kzoo' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
