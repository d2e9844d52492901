"""Distillation losses."""

from kzoo.losses._base import DistillationLoss
from kzoo.losses.hint import Hint, hint
from kzoo.losses.soft_targets import SoftTargets, soft_targets

__all__ = ["DistillationLoss", "Hint", "SoftTargets", "hint", "soft_targets"]
