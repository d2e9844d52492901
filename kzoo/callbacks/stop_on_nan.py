"""Stop a training that has become NaN."""

import math
import sys

import keras

from kzoo.registry import register


@register("callback", tiny={"build": lambda: StopOnNaN()})
class StopOnNaN(keras.callbacks.Callback):
    """Stops training at the first batch whose loss is NaN or infinite, with one line that says why.

    Use it in every long run, next to `ResumableCheckpoint`: that one refuses to
    write a state with NaN, so the last good checkpoint stays. The line names the terms
    of the loss that are not finite. It is printed to stderr and kept in `message`.

    Reading the loss after each batch makes an accelerator wait for it; with
    `steps_per_execution=n` that happens every n batches.

    Example:

    ```python
    import kzoo

    guard = kzoo.callbacks.StopOnNaN()
    # model.fit(..., callbacks=[guard]); afterwards:
    stopped = guard.message is not None
    ```
    """

    def __init__(self):
        super().__init__()
        self.message = None
        self._epoch = 0

    def on_train_begin(self, logs=None):
        """Forget an earlier run."""
        self.message = None

    def on_epoch_begin(self, epoch, logs=None):
        """Remember the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Stop where the loss is not finite."""
        logs = logs or {}
        if self.message is not None or math.isfinite(float(logs.get("loss", 0.0))):
            return
        bad = [f"{name}={float(v)}" for name, v in logs.items() if not math.isfinite(float(v))]
        self.message = (
            f"Training stopped: the loss is not finite at epoch {self._epoch + 1}, batch "
            f"{batch + 1} ({', '.join(bad)}). Lower the learning rate or the weight of that term; "
            "the last good checkpoint was not touched."
        )
        self.model.stop_training = True
        print(f"\n{self.message}", file=sys.stderr)
