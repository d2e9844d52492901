"""Weight initialisers."""

from kzoo.initializers.he_prelu import HePReLU

__all__ = ["HePReLU"]
