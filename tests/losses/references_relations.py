"""References of relational, probabilistic and contrastive losses, by their definitions."""

import math

import numpy as np


def relational_distance(teacher, student):
    """Smooth L1 of distances over their mean, pair by pair."""
    teacher, student = _distances(teacher), _distances(student)
    return np.mean([_smooth_l1(s - t) for s, t in zip(student, teacher, strict=True)])


def _distances(feature):
    pairs = [(i, j) for i in range(len(feature)) for j in range(len(feature))]
    lengths = np.array([np.linalg.norm(feature[i] - feature[j]) for i, j in pairs])
    return lengths / lengths[[i != j for i, j in pairs]].mean()


def relational_angle(teacher, student, max_anchors=None):
    """Smooth L1 of the cosines of the angles at j, triple by triple."""
    batch = len(teacher)
    count = batch if max_anchors is None else min(max_anchors, batch)
    values = []
    for j in (number * batch // count for number in range(count)):
        for i in range(batch):
            for k in range(batch):
                t, s = _cosine(teacher, i, j, k), _cosine(student, i, j, k)
                values.append(_smooth_l1(s - t))
    return np.mean(values)


def _cosine(feature, i, j, k):
    first, second = feature[i] - feature[j], feature[k] - feature[j]
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return 0.0 if lengths == 0 else np.sum(first * second) / lengths


def _smooth_l1(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def correlation_congruence(teacher, student, variant="paper", gamma=0.4, order=2):
    """Mean squared difference of kernel matrices; or |Δ_b|·|Δ_b+1| of neighbours."""
    batch = len(teacher)
    if variant == "reference":
        gaps = [abs(s - t).ravel() for t, s in zip(teacher, student, strict=True)]
        return np.mean([gaps[b] @ gaps[b + 1] for b in range(batch - 1)])
    pairs = [(i, j) for i in range(batch) for j in range(batch)]
    return np.mean(
        [
            (
                _kernel(student[i], student[j], gamma, order)
                - _kernel(teacher[i], teacher[j], gamma, order)
            )
            ** 2
            for i, j in pairs
        ]
    )


def _kernel(first, second, gamma, order):
    first, second = first / np.linalg.norm(first), second / np.linalg.norm(second)
    if order is None:
        return np.exp(-gamma * np.sum((first - second) ** 2))
    cosine = np.sum(first * second)
    series = [(2 * gamma) ** p / math.factorial(p) * cosine**p for p in range(order + 1)]
    return np.exp(-2 * gamma) * sum(series)


def variational_information(teacher, student, variance=5.0):
    """½ ((t − μ)² / σ² + log σ²), of maps at the smaller size."""
    variance = np.asarray(variance, "float64")
    values = 0.5 * ((teacher - student) ** 2 / variance + np.log(variance))
    return values.reshape(len(values), -1).mean(-1)


def decoupled_knowledge(
    teacher, student, labels, temperature=4.0, target_weight=1.0, nontarget_weight=8.0
):
    """T² KL of (p_y, 1 − p_y) and T² KL of the softmax over the other classes."""
    values = []
    for t, s, label in zip(teacher / temperature, student / temperature, labels, strict=True):
        rest = [k for k in range(len(t)) if k != label]
        binary = [np.array([p[label], sum(p[rest])]) for p in (_softmax(t), _softmax(s))]
        target = _divergence(*binary)
        others = _divergence(_softmax(t[rest]), _softmax(s[rest]))
        values.append(temperature**2 * (target_weight * target + nontarget_weight * others))
    return np.array(values)


def _softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _divergence(p, q):
    return np.sum(p * (np.log(p) - np.log(q)))


def contrastive_representation(
    teacher, student, negatives, num_samples, temperature=0.07, normalizer=None, mask=None
):
    """−log h/(h + k/n) of the own embedding and −log (k/n)/(h + k/n) of each other, in logs."""
    log_z = np.log(num_samples if normalizer is None else normalizer)
    values = []
    for row, (t, s) in enumerate(zip(teacher, student, strict=True)):
        others = np.asarray(negatives[row], "float64")
        others = others if mask is None else others[mask[row]]
        noise = np.log(len(others) / num_samples)
        h = np.dot(t, s) / temperature - log_z
        total = np.logaddexp(h, noise) - h
        for other in others / temperature - log_z:
            total += np.logaddexp(other, noise) - noise
        values.append(total)
    return np.array(values)


REFERENCES = {
    "RelationalDistance": relational_distance,
    "RelationalAngle": relational_angle,
    "CorrelationCongruence": correlation_congruence,
    "VariationalInformation": variational_information,
    "DecoupledKnowledge": decoupled_knowledge,
    "ContrastiveRepresentation": contrastive_representation,
}
SETTINGS = {
    "RelationalDistance": [{}],
    "RelationalAngle": [{}, {"max_anchors": 3}, {"max_anchors": 9}],
    "CorrelationCongruence": [
        {},
        {"order": 1, "gamma": 1.0},
        {"order": 4},
        {"order": None},
        {"order": None, "gamma": 2.0},
        {"variant": "reference"},
    ],
    "VariationalInformation": [{}, {"variance": 0.5}],
    "DecoupledKnowledge": [
        {},
        {"temperature": 1.0},
        {"target_weight": 0.0, "nontarget_weight": 1.0},
        {"target_weight": 1.0, "nontarget_weight": 0.0},
    ],
    "ContrastiveRepresentation": [
        {"num_samples": 6},
        {"num_samples": 50, "temperature": 0.5, "normalizer": 3.0},
    ],
}
