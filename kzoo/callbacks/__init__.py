"""Keras callbacks."""

from kzoo.callbacks.resumable_checkpoint import ResumableCheckpoint
from kzoo.callbacks.stop_on_nan import StopOnNaN

__all__ = ["ResumableCheckpoint", "StopOnNaN"]
