"""Whether the files of Fashion-MNIST are on this machine."""

import importlib

import pytest

# The package exports a function of the same name as the module.
_MODULE = importlib.import_module("kzoo.data.fashion_mnist")

needs_fashion_mnist = pytest.mark.skipif(
    _MODULE._find(None)[0] is None,
    reason="needs the files of Fashion-MNIST: apt install dataset-fashion-mnist",
)
