"""References of the losses on boundaries and factors: element by element, in float64."""

import numpy as np


def activation_boundary(teacher, student, margin=1.0):
    """(s + m)² [s > −m, t <= 0] + (s − m)² [s <= m, t > 0], summed; stages weigh ..., 1/2, 1."""

    def element(_, t, s):
        wrong_on = (s + margin) ** 2 if s > -margin and t <= 0 else 0.0
        wrong_off = (s - margin) ** 2 if s <= margin and t > 0 else 0.0
        return wrong_on + wrong_off

    return _over_stages(teacher, student, element)


def overhaul_feature(teacher, student, margins=None):
    """(max(t, m) − s)² unless s <= max(t, m) <= 0, summed; stages weigh ..., 1/2, 1."""
    count = len(_listed(teacher))
    margins = [-np.sqrt(2 / np.pi)] * count if margins is None else margins
    channels = [t.shape[-1] for t in _listed(teacher)]
    margins = [np.broadcast_to(m, (c,)) for m, c in zip(margins, channels, strict=True)]

    def element(at, t, s):
        stage, channel = at
        target = max(t, margins[stage][channel])
        return (target - s) ** 2 if s > target or target > 0 else 0.0

    return _over_stages(teacher, student, element)


def factor_transfer(teacher, student, variant="paper"):
    """Mean absolute difference of flattened, normalised factors or of their attention."""
    values = []
    for t, s in zip(teacher, student, strict=True):
        if variant == "reference":
            t, s = (np.einsum("hwc,hwc->hw", f, f) / f.shape[-1] for f in (t, s))
        t, s = (f.ravel() / np.linalg.norm(f.ravel()) for f in (t, s))
        values.append(np.abs(t - s).sum() / t.size)
    return np.array(values)


def boundary_support(teacher, student, temperature=3.0):
    """−Σ p log q, class by class."""
    values = []
    for t, s in zip(teacher / temperature, student / temperature, strict=True):
        p, q = np.exp(t - t.max()), np.exp(s - s.max())
        p, q = p / p.sum(), q / q.sum()
        values.append(-sum(a * np.log(b) for a, b in zip(p, q, strict=True)))
    return np.array(values)


def _over_stages(teacher, student, element):
    stages = list(zip(_listed(teacher), _listed(student), strict=True))
    totals = np.zeros(len(stages[0][0]))
    for stage, (t, s) in enumerate(stages):
        weight = 1.0 / 2 ** (len(stages) - 1 - stage)
        for sample in range(len(t)):
            for place in np.ndindex(t.shape[1:]):
                at = (sample, *place)
                totals[sample] += weight * element((stage, place[-1]), t[at], s[at])
    return totals


def _listed(maps):
    return maps if isinstance(maps, list) else [maps]


REFERENCES = {
    "ActivationBoundary": activation_boundary,
    "BoundarySupport": boundary_support,
    "FactorTransfer": factor_transfer,
    "OverhaulFeature": overhaul_feature,
}
SETTINGS = {
    "ActivationBoundary": [{}, {"margin": 0.3}],
    "BoundarySupport": [{}, {"temperature": 1.0}],
    "FactorTransfer": [{"variant": "paper"}, {"variant": "reference"}],
    "OverhaulFeature": [{}, {"margins": [-0.5, [-0.1, -0.2, -0.3, -0.4, -3.0]]}],
}
