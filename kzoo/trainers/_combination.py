"""One prediction out of a generalist's and those of specialists."""

import keras
import numpy as np
from keras import ops

from kzoo.losses._arguments import check_choice, check_integer
from kzoo.taps._trace import new_inputs

# Far above the denormals, also after it was divided by the number of specialists.
SMALLEST = 1e-30
# Where several specialists can be active for one image.
_STEPS = 50


def dustbin_odds(groups, class_counts):
    """How much more likely than in its batches the dustbin class of each specialist is.

    A specialist sees images of its classes S and all others half and half, and within each half
    as often as they are. By Bayes' rule the odds of the others against S are those it has
    learnt times the natural odds of both, which in its batches are 1.

    Args:
        groups: the classes of each specialist.
        class_counts: images of each class.
    """
    counts = np.asarray(class_counts, "float64")
    inside = np.array([counts[list(group)].sum() for group in groups])
    return (counts.sum() - inside) / inside


def corrected(probabilities, odds):
    """A specialist's probabilities with the log of the odds added to the dustbin's logit."""
    factors = np.ones((1, probabilities.shape[-1]), "float32")
    factors[0, -1] = odds
    weighted = probabilities * factors
    return weighted / ops.sum(weighted, axis=-1, keepdims=True)


def active_specialists(general, groups, top):
    """1 where a specialist's group holds one of the generalist's `top` classes, else 0."""
    _, first = ops.top_k(general, top)
    return ops.max(ops.take(1.0 - _outside(groups, general.shape[-1]), first, axis=0), axis=1)


def steps_towards_q(iterations, groups, classes, active, top):
    """How many steps `combine` takes: those asked for, else as many as the settings need.

    Raises:
        ValueError: for settings that are wrong.
    """
    check_choice("active", active, ("top", "all"))
    if check_integer("top", top) > classes:
        raise ValueError(f"`top` must be at most the {classes} classes. Received: top={top}")
    if iterations is not None:
        return check_integer("iterations", iterations)
    memberships = np.sort((1.0 - _outside(groups, classes)).sum(axis=1))
    most = len(groups) if active == "all" else min(len(groups), memberships[-top:].sum())
    return 1 if most == 1 else _STEPS


def combine(general, specials, groups, active=None, iterations=1):
    """The q that minimises KL(p_g ‖ q) + Σ_m active_m KL(p_m ‖ q).

    Each p_m is compared with q summed over the classes of the dustbin. The sum of cross-entropies
    is the negative log likelihood of q under observations of which some tell only that
    the class is one of the dustbin's, so expectation maximisation lowers it at every step:

        q_k ← (p_g,k + Σ_m active_m p_m(bin_m(k)) q_k / q(bin_m(k))) / (1 + Σ_m active_m)

    The share of a class alone in its bin, p_m(k), does not depend on q and is summed once.
    Where at most one specialist is active, the first step from p_g ends at the minimum. The more
    are active and the less they agree, the slower the steps become.

    Args:
        general: probabilities of the generalist, `(batch, classes)`.
        specials: those of each specialist, `(batch, classes of its group + 1)`, dustbin last.
        groups: the classes of each specialist.
        active: `(batch, specialists)` of 0 and 1; `None`: all are.
        iterations: steps.
    """
    general = ops.maximum(ops.cast(general, "float32"), SMALLEST)
    outside = _outside(groups, general.shape[-1])
    inside = ops.concatenate([p[:, :-1] for p in specials], axis=-1)
    dustbins = ops.concatenate([p[:, -1:] for p in specials], axis=-1)
    observations = 1.0 + len(groups)
    if active is not None:
        inside = inside * ops.matmul(active, _columns_of(groups))
        dustbins = dustbins * active
        observations = 1.0 + ops.sum(active, axis=-1, keepdims=True)
    scatter = np.eye(general.shape[-1], dtype="float32")[np.concatenate(groups).astype(int)]
    fixed = (general + ops.matmul(inside, scatter)) / observations
    dustbins = dustbins / observations
    q = general
    for _ in range(iterations):
        q = fixed + q * ops.matmul(dustbins / ops.matmul(q, outside), outside.T)
    return q


def inference_model(generalist, specialists, settings, probabilities):
    """Plain Keras models: the combined prediction, and all that it is made of by name.

    Args:
        generalist: the generalist.
        specialists: the specialists by name.
        settings: the `SpecialistEnsemble` whose `groups`, `class_counts`, `active`, `top` and
            `iterations` are meant.
        probabilities: whether models end with a softmax; the prediction ends as they do.
    """
    inputs, groups = new_inputs(generalist), settings.groups
    general = _probabilities(generalist(inputs), probabilities)
    classes = general.shape[-1]
    odds = dustbin_odds(groups, settings.class_counts or [1] * classes)
    specials = [
        corrected(_probabilities(model(inputs), probabilities), one)
        for model, one in zip(specialists.values(), odds, strict=True)
    ]
    parts = keras.Model(
        inputs, {"generalist": general, **dict(zip(specialists, specials, strict=True))}
    )
    active = None
    if settings.active == "top":
        active = active_specialists(general, groups, settings.top)
    q = combine(general, specials, groups, active, settings.iterations)
    return keras.Model(inputs, q if probabilities else ops.log(q), name="ensemble"), parts


def _probabilities(outputs, probabilities):
    outputs = ops.cast(outputs, "float32")
    return outputs if probabilities else ops.softmax(outputs, axis=-1)


def _outside(groups, classes):
    """1 where a class is in the dustbin of a specialist: `(classes, specialists)`."""
    outside = np.ones((classes, len(groups)), "float32")
    for number, group in enumerate(groups):
        outside[list(group), number] = 0.0
    return outside


def _columns_of(groups):
    """1 where a column of all groups side by side is of a specialist: `(specialists, columns)`."""
    return np.repeat(np.eye(len(groups), dtype="float32"), [len(g) for g in groups], axis=1)
