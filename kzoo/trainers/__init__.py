"""Keras models whose `fit` trains other models."""

from kzoo.trainers.cache_teacher import cache_teacher
from kzoo.trainers.distiller import Distiller
from kzoo.trainers.mutual_learning import MutualLearning
from kzoo.trainers.player_optimizers import PlayerOptimizers
from kzoo.trainers.teacher import Teacher
from kzoo.trainers.teacher_cache import TeacherCache
from kzoo.trainers.teacher_ensemble import TeacherEnsemble
from kzoo.trainers.trainer import Trainer
from kzoo.trainers.update import Update

__all__ = [
    "Distiller",
    "MutualLearning",
    "PlayerOptimizers",
    "Teacher",
    "TeacherCache",
    "TeacherEnsemble",
    "Trainer",
    "Update",
    "cache_teacher",
]
