"""A weight that rises from nothing."""

from kzoo.registry import register
from kzoo.schedules._ramp import Ramp


@register("schedule", paper="arXiv:2203.08679", tiny={"args": {"peak": 2.0, "steps": 10}})
class WarmUp(Ramp):
    """A straight rise to a number, which then stays.

    For losses that would swamp the first epochs. Decoupled knowledge distillation
    (arXiv:2203.08679) warms up over 20 epochs.

    Reference:
        B. Zhao, Q. Cui, R. Song, Y. Qiu, J. Liang, "Decoupled Knowledge Distillation", CVPR 2022,
        arXiv:2203.08679.

        value(step) = peak · min((step + 1) / steps, 1)

    Steps, and with `every` epochs, count from 1, as the authors' epochs do: the first of 20 has a
    twentieth of the weight.

    Args:
        peak: the number that is reached after `steps` steps.
        steps: how many steps the rise takes: epochs times the steps of an epoch.
        every: steps for which a value is held. The steps of an epoch give one value an epoch.

    Call arguments:
        step: the step of the optimiser, an integer or a scalar tensor.

    Raises:
        ValueError: for `steps` or `every` that is no integer >= 1.

    Example:

    ```python
    from kzoo import schedules
    from kzoo.losses import SoftTargets

    loss = SoftTargets(weight=schedules.WarmUp(1.0, steps=20 * 196))
    ```
    """

    ahead = 1

    def __init__(self, peak, steps, every=1):
        super().__init__(0.0, peak, steps, every)
        self.peak = self.end

    def shape(self, share):
        """The share of the way itself."""
        return share

    def get_config(self):
        """The constructor's arguments."""
        return {"peak": self.peak, "steps": self.steps, "every": self.every}
