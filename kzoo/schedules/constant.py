"""A weight that stays."""

import keras
from keras import ops

from kzoo.registry import register


@register("schedule", tiny={"args": {"value": 2.0}})
class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """One number at every step.

    A plain number does the same; this one stands where a schedule is expected.

    Args:
        value: the number.

    Call arguments:
        step: the step of the optimiser, an integer or a scalar tensor.

    Example:

    ```python
    from kzoo import schedules
    from kzoo.losses import SoftTargets

    loss = SoftTargets(weight=schedules.Constant(0.9))
    ```
    """

    def __init__(self, value):
        super().__init__()
        self.value = float(value)

    def __call__(self, step):
        """The number: a scalar tensor."""
        return ops.convert_to_tensor(self.value, "float32")

    def get_config(self):
        """The constructor's arguments."""
        return {"value": self.value}
