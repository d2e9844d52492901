"""Recipes: a run described in one file."""

from kzoo.recipes.run import train
from kzoo.recipes.schema import Recipe, load

__all__ = ["Recipe", "load", "train"]
