"""A weight that changes along a straight line."""

from kzoo.registry import register
from kzoo.schedules._ramp import Ramp


@register("schedule", tiny={"args": {"start": 4.0, "end": 1.0, "steps": 10}})
class Linear(Ramp):
    """A straight line from one number to another, which then stays.

    For the weight of a loss or of the task. The soft term of boundary supporting samples
    (arXiv:1805.05532) goes from 4 to 1 in this way over the whole training. It lacks the factor
    T² of `SoftTargets`, whose weight is divided by 9 for that at the published T of 3.

        value(step) = start + (end − start) · min(step / steps, 1)

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

    weight = schedules.Linear(4.0 / 9.0, 1.0 / 9.0, steps=80 * 196)
    loss = SoftTargets(temperature=3.0, weight=weight)
    ```
    """

    def shape(self, share):
        """The share of the way itself."""
        return share
