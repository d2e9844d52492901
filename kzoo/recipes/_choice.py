"""Which of all classifiers is exported; the test split has no say."""

import numpy as np

from kzoo.recipes import leaderboard


def phase(phases, rows):
    """The phase whose classifier is exported: the last, of methods the best on validation."""
    methods = [phase for phase in phases if phase.losses is not None]
    if not methods:
        return phases[-1]
    methods = [phase for phase in methods if not leaderboard.diverged(rows[phase.name])]
    # What such rows show is more than the classifier that would be exported.
    methods = [phase for phase in methods if phase.method.shows is None] or methods
    if not methods:
        raise ValueError("Every method diverged. Lower optimizer.learning_rate and start anew.")
    return max(methods, key=lambda p: rows[p.name].get("validation", {}).get("accuracy", 0.0))


def seed(per_seed):
    """The seed whose classifier is exported: chosen on validation, never on test."""
    validated = [run for run in per_seed if "validation" in run] or per_seed[:1]
    key = [run.get("validation", {}).get("accuracy", 0.0) for run in validated]
    return validated[int(np.argmax(key))]["seed"]
