"""Keras models whose `fit` trains other models."""

from kzoo.trainers.adversarial_distillation import AdversarialDistillation
from kzoo.trainers.be_your_own_teacher import BeYourOwnTeacher
from kzoo.trainers.cache_teacher import cache_teacher
from kzoo.trainers.class_wise_self_distillation import ClassWiseSelfDistillation
from kzoo.trainers.collaborative_learning import CollaborativeLearning
from kzoo.trainers.confusable_classes import confusable_classes
from kzoo.trainers.data_distortion_self_distillation import DataDistortionSelfDistillation
from kzoo.trainers.data_free_distillation import DataFreeDistillation
from kzoo.trainers.distiller import Distiller
from kzoo.trainers.ensemble_distillation import EnsembleDistillation
from kzoo.trainers.mutual_learning import MutualLearning
from kzoo.trainers.player_optimizers import PlayerOptimizers
from kzoo.trainers.specialist_ensemble import SpecialistEnsemble
from kzoo.trainers.teacher import Teacher
from kzoo.trainers.teacher_cache import TeacherCache
from kzoo.trainers.teacher_ensemble import TeacherEnsemble
from kzoo.trainers.trainer import Trainer
from kzoo.trainers.update import Update

__all__ = [
    "AdversarialDistillation",
    "BeYourOwnTeacher",
    "ClassWiseSelfDistillation",
    "CollaborativeLearning",
    "DataDistortionSelfDistillation",
    "DataFreeDistillation",
    "Distiller",
    "EnsembleDistillation",
    "MutualLearning",
    "PlayerOptimizers",
    "SpecialistEnsemble",
    "Teacher",
    "TeacherCache",
    "TeacherEnsemble",
    "Trainer",
    "Update",
    "cache_teacher",
    "confusable_classes",
]
