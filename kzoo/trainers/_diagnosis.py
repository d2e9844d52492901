"""A look at the first epoch: does every term do something?"""

import keras


class Diagnosis(keras.callbacks.Callback):
    """Calls `trainer.diagnose(logs)` once, at the end of the first epoch of a `fit`."""

    def __init__(self):
        super().__init__()
        self.done = False

    def on_epoch_end(self, epoch, logs=None):
        """Let the trainer look at the first epoch's means."""
        if not self.done:
            self.done = True
            self.model.diagnose(logs or {})


def with_diagnosis(callbacks):
    """The callbacks given to `fit`, in any of the forms it takes, and a `Diagnosis`."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(Diagnosis())
        return callbacks
    if callbacks is None:
        return [Diagnosis()]
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks, Diagnosis()]
    return [*callbacks, Diagnosis()]
