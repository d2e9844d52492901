"""A weight that falls to nothing before the end."""

from keras import ops

from kzoo.registry import register
from kzoo.schedules._ramp import Ramp


@register("schedule", paper="arXiv:1805.05532", tiny={"args": {"peak": 2.0, "steps": 12}})
class RampDown(Ramp):
    """A straight fall from a number to 0, reached at a share of the training.

    For losses that help early and disturb late, as that of boundary supporting samples: it
    falls from 2 to 0 in the first three quarters.

    Reference:
        B. Heo, M. Lee, S. Yun, J. Y. Choi, "Knowledge Distillation with Adversarial Samples
        Supporting Decision Boundary", AAAI 2019, arXiv:1805.05532.

        value(step) = peak · max(1 − step / (share · steps), 0)

    Args:
        peak: the number at step 0.
        steps: the steps of the whole training: epochs times the steps of an epoch.
        share: the share of the training after which the value is 0, in (0, 1].
        every: steps for which a value is held. The steps of an epoch give one value an epoch.

    Call arguments:
        step: the step of the optimiser, an integer or a scalar tensor.

    Raises:
        ValueError: for `steps` or `every` that is no integer >= 1.

    Example:

    ```python
    from kzoo import schedules
    from kzoo.losses import SoftTargets

    loss = SoftTargets(weight=schedules.RampDown(2.0, steps=80 * 196))
    ```
    """

    def __init__(self, peak, steps, share=0.75, every=1):
        super().__init__(peak, 0.0, steps, every)
        if not isinstance(share, int | float) or not 0 < share <= 1:
            raise ValueError(f"`share` must be in (0, 1]. Received: share={share!r}")
        self.peak, self.share = self.start, float(share)

    def shape(self, share):
        """1 once `self.share` of the way is done."""
        return ops.minimum(share / self.share, 1.0)

    def get_config(self):
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "share": self.share,
            "every": self.every,
        }
