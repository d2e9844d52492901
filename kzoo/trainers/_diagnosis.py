"""A look at the first epoch: does every term do something?"""

import keras


class Diagnosis(keras.callbacks.Callback):
    """Calls `trainer.diagnose(logs)` once, at the end of the first epoch of a `fit`."""

    def __init__(self):
        super().__init__()
        self.done = False

    def on_test_begin(self, logs=None):
        """Validation sets the means back before the epoch ends."""
        if not self.done:
            self.model.note_samples()

    def on_epoch_end(self, epoch, logs=None):
        """Let the trainer look at the first epoch's means."""
        if not self.done:
            self.done = True
            self.model.diagnose(logs or {})


def with_diagnosis(callbacks, trainer):
    """The callbacks given to `fit`, in any of the forms it takes, and a `Diagnosis`."""
    diagnosis = Diagnosis()
    if isinstance(callbacks, keras.callbacks.CallbackList):
        diagnosis.set_model(trainer)
        others = [c for c in callbacks.callbacks if not isinstance(c, Diagnosis)]
        callbacks.callbacks[:] = [*others, diagnosis]
        return callbacks
    given = [] if callbacks is None else keras.tree.flatten(callbacks)
    return [*given, diagnosis]
