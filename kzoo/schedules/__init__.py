"""Weights of losses as functions of the step."""

from kzoo.schedules.constant import Constant
from kzoo.schedules.cosine import Cosine
from kzoo.schedules.linear import Linear
from kzoo.schedules.ramp_down import RampDown
from kzoo.schedules.warm_up import WarmUp

__all__ = ["Constant", "Cosine", "Linear", "RampDown", "WarmUp"]
