"""Keras models whose `fit` trains other models."""

from kzoo.trainers.distiller import Distiller
from kzoo.trainers.player_optimizers import PlayerOptimizers
from kzoo.trainers.trainer import Trainer
from kzoo.trainers.update import Update

__all__ = ["Distiller", "PlayerOptimizers", "Trainer", "Update"]
