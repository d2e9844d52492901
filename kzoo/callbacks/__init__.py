"""Keras callbacks."""

from kzoo.callbacks.filter_grafting import FilterGrafting
from kzoo.callbacks.resumable_checkpoint import ResumableCheckpoint
from kzoo.callbacks.snapshot_ensemble import SnapshotEnsemble
from kzoo.callbacks.stop_on_nan import StopOnNaN

__all__ = ["FilterGrafting", "ResumableCheckpoint", "SnapshotEnsemble", "StopOnNaN"]
