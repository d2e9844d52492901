"""One prediction out of a generalist's and those of specialists, against NumPy in float64."""

import numpy as np
import pytest
from keras import ops

from kzoo.trainers._combination import (
    active_specialists,
    combine,
    corrected,
    dustbin_odds,
    steps_towards_q,
)

DISJOINT = ((0, 2), (1, 5, 6))
OVERLAPPING = ((0, 2, 3), (1, 2), (3, 4, 5))
CLASSES = 7


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def predictions(groups, count=20, seed=0, spread=1.0):
    random = np.random.default_rng(seed)
    sizes = (CLASSES, *(len(group) + 1 for group in groups))
    return [softmax(spread * random.standard_normal((count, size))) for size in sizes]


def bins(q, group):
    """q as a specialist of a group sees it."""
    others = np.setdiff1d(np.arange(q.shape[-1]), group)
    return np.concatenate([q[:, list(group)], q[:, others].sum(-1, keepdims=True)], axis=-1)


def divergence(p, q):
    return np.sum(p * (np.log(p) - np.log(q)), axis=-1)


def objective(q, general, specials, groups, active=None):
    active = np.ones((len(q), len(groups))) if active is None else active
    total = divergence(general, q)
    for number, (p, group) in enumerate(zip(specials, groups, strict=True)):
        total = total + active[:, number] * divergence(p, bins(q, group))
    return total


def descended(general, specials, groups, active=None, steps=4000, rate=0.4):
    """As published: gradient descent on the logits of q, q = softmax(z)."""
    active = np.ones((len(general), len(groups))) if active is None else active
    z = np.zeros_like(general)
    for _ in range(steps):
        q = softmax(z)
        gradient = q - general
        for number, (p, group) in enumerate(zip(specials, groups, strict=True)):
            # d KL(p ‖ bins(q)) / dz_k = q_k - p_b q_k / q_b for the bin b of k
            ratio = p / bins(q, group)
            each = np.repeat(ratio[:, -1:], q.shape[-1], axis=1)
            each[:, list(group)] = ratio[:, :-1]
            gradient += active[:, number : number + 1] * (q - each * q)
        z -= rate * gradient
    return softmax(z)


def combined(general, specials, groups, active=None, iterations=1):
    given = [p.astype("float32") for p in (general, *specials)]
    active = None if active is None else active.astype("float32")
    q = combine(given[0], given[1:], groups, active, iterations)
    return np.asarray(ops.convert_to_numpy(q), "float64")


@pytest.mark.parametrize("groups", [DISJOINT, OVERLAPPING, ((3, 4),)])
def test_q_is_what_gradient_descent_finds(groups):
    general, *specials = predictions(groups)
    q = combined(general, specials, groups, iterations=400)
    expected = descended(general, specials, groups)
    np.testing.assert_allclose(q, expected, atol=2e-5)
    np.testing.assert_allclose(q.sum(-1), 1.0, rtol=1e-5)
    around = softmax(np.log(q) + 0.05 * np.random.default_rng(1).standard_normal((200, *q.shape)))
    best = objective(q, general, specials, groups)
    for other in around:
        assert (objective(other, general, specials, groups) > best).all()


@pytest.mark.parametrize("groups", [DISJOINT, OVERLAPPING])
def test_every_step_lowers_the_sum_of_divergences(groups):
    general, *specials = predictions(groups, spread=2.5)
    values = [objective(general, general, specials, groups)]
    for iterations in range(1, 30):
        q = combined(general, specials, groups, iterations=iterations)
        values.append(objective(q, general, specials, groups))
    assert (np.diff(values, axis=0) < 1e-6).all()
    assert (values[-1] < values[1]).all()
    assert (values[1] < values[0]).all()


@pytest.mark.parametrize("groups", [DISJOINT, OVERLAPPING])
def test_one_step_is_exact_where_one_specialist_is_active(groups):
    general, *specials = predictions(groups)
    active = np.eye(len(groups))[np.arange(len(general)) % len(groups)]
    active[::5] = 0.0
    q = combined(general, specials, groups, active)
    np.testing.assert_allclose(q, descended(general, specials, groups, active), atol=1e-5)
    np.testing.assert_allclose(q[::5], general[::5], rtol=1e-5)
    number = int(np.argmax(active[1]))
    group = list(groups[number])
    others = np.setdiff1d(np.arange(CLASSES), group)
    closed = np.empty(CLASSES)
    closed[group] = (general[1, group] + specials[number][1, :-1]) / 2
    mass = (general[1, others].sum() + specials[number][1, -1]) / 2
    closed[others] = mass * general[1, others] / general[1, others].sum()
    np.testing.assert_allclose(q[1], closed, rtol=1e-5)


def test_some_of_the_specialists_are_active():
    general, *specials = predictions(OVERLAPPING)
    active = np.random.default_rng(2).integers(0, 2, (len(general), 3)).astype(float)
    q = combined(general, specials, OVERLAPPING, active, iterations=400)
    np.testing.assert_allclose(q, descended(general, specials, OVERLAPPING, active), atol=2e-5)


def test_agreement_is_left_as_it_is():
    general, *_ = predictions(OVERLAPPING)
    q = combined(general, [bins(general, g) for g in OVERLAPPING], OVERLAPPING, iterations=30)
    np.testing.assert_allclose(q, general, rtol=1e-4)


def test_extreme_predictions_are_no_nan():
    general = np.eye(CLASSES)[[0, 0, 3, 6]]
    specials = [np.eye(3)[[0, 2, 2, 2]], np.eye(4)[[3, 0, 3, 3]]]
    for iterations in (1, 50):
        q = combined(general, specials, DISJOINT, iterations=iterations)
        assert np.isfinite(q).all()
        np.testing.assert_allclose(q.sum(-1), 1.0, rtol=1e-5)
    assert q[3].argmax() == 6
    np.testing.assert_allclose(q[0].argmax(), 0)


@pytest.mark.parametrize("top", [1, 2])
def test_active_specialists_hold_one_of_the_top_classes(top):
    general, *_ = predictions(OVERLAPPING)
    found = ops.convert_to_numpy(active_specialists(general.astype("float32"), OVERLAPPING, top))
    first = np.argsort(-general, axis=-1)[:, :top]
    expected = [[bool(set(row) & set(group)) for group in OVERLAPPING] for row in first]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("groups", "active", "top", "expected"),
    [
        (DISJOINT, "top", 1, 1),
        (DISJOINT, "top", 2, 50),
        (DISJOINT, "all", 1, 50),
        (OVERLAPPING, "top", 1, 50),
        (((0, 1),), "all", 1, 1),
        (((0, 1),), "top", 7, 1),
    ],
)
def test_steps_are_one_where_that_is_exact(groups, active, top, expected):
    assert steps_towards_q(None, groups, CLASSES, active, top) == expected
    assert steps_towards_q(7, groups, CLASSES, active, top) == 7


def test_the_correction_gives_back_natural_posteriors():
    """What a perfect specialist learns on half-and-half batches, by Bayes' rule; and naturally."""
    random = np.random.default_rng(0)
    counts = np.array([500.0, 20.0, 80.0, 300.0, 60.0, 10.0, 30.0])
    likelihood = random.dirichlet(np.ones(12), CLASSES)  # p(x | class) of twelve images
    natural = counts / counts.sum()
    posterior = likelihood.T * natural
    posterior /= posterior.sum(-1, keepdims=True)
    odds = dustbin_odds(OVERLAPPING, counts)
    for group, one in zip(OVERLAPPING, odds, strict=True):
        inside = np.isin(np.arange(CLASSES), group)
        shares = np.where(inside, 0.5 * natural / natural[inside].sum(), 0.0)
        shares += np.where(~inside, 0.5 * natural / natural[~inside].sum(), 0.0)
        learnt = likelihood.T * shares
        learnt = bins(learnt / learnt.sum(-1, keepdims=True), group)
        assert np.abs(learnt - bins(posterior, group)).max() > 0.1
        found = ops.convert_to_numpy(corrected(learnt.astype("float32"), one))
        np.testing.assert_allclose(found, bins(posterior, group), rtol=1e-5)
        # The same, as what is added to the logit of the dustbin class.
        logits = np.log(learnt)
        logits[:, -1] += np.log(counts[~inside].sum() / counts[inside].sum())
        np.testing.assert_allclose(found, softmax(logits), rtol=1e-5)
