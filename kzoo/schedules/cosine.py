"""A weight that changes along half a cosine."""

import math

from keras import ops

from kzoo.registry import register
from kzoo.schedules._ramp import Ramp


@register("schedule", tiny={"args": {"start": 4.0, "end": 1.0, "steps": 10}})
class Cosine(Ramp):
    """Half a cosine from one number to another, which then stays.

    Like `Linear`, with a gentle beginning and a gentle end.

        value(step) = start + (end − start) · (1 − cos(π · min(step / steps, 1))) / 2

    Args:
        start: the number at step 0.
        end: the number from step `steps` on.
        steps: how many steps the way takes: epochs times the steps of an epoch.
        every: steps for which a value is held. The steps of an epoch give one value an epoch.

    Call arguments:
        step: the step of the optimiser, an integer or a scalar tensor.

    Raises:
        ValueError: for `steps` or `every` that is no integer >= 1.

    Example:

    ```python
    from kzoo import schedules
    from kzoo.losses import SoftTargets

    loss = SoftTargets(weight=schedules.Cosine(0.9, 0.0, steps=1000))
    ```
    """

    def shape(self, share):
        """Half a cosine."""
        return (1.0 - ops.cos(math.pi * share)) / 2.0
