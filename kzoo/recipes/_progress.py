"""Progress of `fit` as one line per phase, and the time it takes."""

import time

import keras
import rich.console
import rich.progress


class Progress(keras.callbacks.Callback):
    """A bar over the updates of one phase; in a log file, a line per epoch."""

    def __init__(self, console: rich.console.Console, title: str, steps: int, epochs: int, first=0):
        """Prepare the bar; it is drawn when training begins."""
        super().__init__()
        self.title, self.steps, self.epochs = title, steps, epochs
        self.bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description:<28}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[note]}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=steps * epochs, completed=first * steps, note="")

    def on_train_begin(self, logs=None):
        """Draw the bar."""
        self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        """One update more."""
        self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        """Show the epoch's metrics."""
        logs = logs or {}
        accuracy = logs.get("val_accuracy", logs.get("accuracy"))
        note = f"epoch {epoch + 1}/{self.epochs}"
        if accuracy is not None:
            note += f"  accuracy {float(accuracy):.3f}"
        if "agreement" in logs:
            note += f"  agreement {float(logs['agreement']):.3f}"
        done = (epoch + 1) * self.steps
        self.bar.update(self.task, completed=done, note=note)
        if not self.bar.console.is_terminal:
            self.bar.console.print(f"{self.title}  {note}")

    def on_train_end(self, logs=None):
        """Leave the last state of the bar on the screen."""
        self.bar.stop()


class Clock(keras.callbacks.Callback):
    """Adds to an epoch's logs its `seconds`, validation included, and the `step_ms` of training."""

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.started = self.last = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        """Another batch is done."""
        self.last = time.perf_counter()
        self.steps += 1

    def on_epoch_end(self, epoch, logs=None):
        """Stop the clock."""
        logs["seconds"] = time.perf_counter() - self.started
        logs["step_ms"] = 1000 * (self.last - self.started) / max(self.steps, 1)
