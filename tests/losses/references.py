"""Independent references in NumPy, in float64: what the losses must compute.

Each takes arrays of teacher and student and the keywords of the loss's function.
`SETTINGS` lists the keywords that the conformance test tries.
"""

import numpy as np

from tests.losses import references_activations as activations
from tests.losses import references_boundaries as boundaries
from tests.losses import references_relations as relations


def soft_targets(teacher, student, temperature=4.0):
    """T² Σ p (log p − log q), by the definition and class by class."""
    values = []
    for t, s in zip(teacher / temperature, student / temperature, strict=True):
        p, q = _probabilities(t), _probabilities(s)
        values.append(sum(a * (np.log(a) - np.log(b)) for a, b in zip(p, q, strict=True)))
    return temperature**2 * np.array(values)


def hint(teacher, student, variant="paper"):
    """Half the squared distance of each sample, or the mean of the squares."""
    differences = (teacher - student).reshape(len(teacher), -1)
    share = [0.5 if variant == "paper" else 1 / row.size for row in differences]
    return np.array([k * np.dot(row, row) for k, row in zip(share, differences, strict=True)])


def _probabilities(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


REFERENCES = {"SoftTargets": soft_targets, "Hint": hint, **activations.REFERENCES}
SETTINGS = {
    "SoftTargets": [{"temperature": t} for t in (1.0, 4.0, 20.0)],
    "Hint": [{"variant": "paper"}, {"variant": "reference"}],
    **activations.SETTINGS,
}
REFERENCES |= boundaries.REFERENCES | relations.REFERENCES
SETTINGS |= boundaries.SETTINGS | relations.SETTINGS
