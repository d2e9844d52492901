"""What the schedules of weights share: a share of the way, held within an epoch or not."""

import numbers

import keras
from keras import ops


class Ramp(keras.optimizers.schedules.LearningRateSchedule):
    """From one number to another over `steps`, then the latter; a subclass gives the shape.

    Args:
        start: the number at step 0.
        end: the number from step `steps` on.
        steps: how many steps the way takes.
        every: steps for which a value is held; the steps of an epoch give one value an epoch.
    """

    # How many of `every` are added to the step: 1 where epochs are counted from 1.
    ahead = 0

    def __init__(self, start, end, steps, every=1):
        super().__init__()
        self.start, self.end = float(start), float(end)
        self.steps, self.every = _positive("steps", steps), _positive("every", every)

    def __call__(self, step):
        """The number at a step: a scalar tensor."""
        held = ops.floor_divide(ops.cast(step, "int32"), self.every) * self.every
        held = held + self.ahead * self.every
        share = ops.minimum(ops.cast(held, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * self.shape(share)

    def shape(self, share):
        """The share of the change that is done at a share of the way, both in [0, 1]."""
        raise NotImplementedError

    def get_config(self):
        """The constructor's arguments."""
        return {"start": self.start, "end": self.end, "steps": self.steps, "every": self.every}


def _positive(argument, value):
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{argument}` must be an integer >= 1. Received: {argument}={value!r}")
    return int(value)
