"""Arguments and shapes of losses, checked at the door."""

import math

MAPS = "maps (batch, height, width, channels)"


def check_choice(argument, value, choices):
    """Refuse what is none of `choices`; returns the value."""
    if value not in choices:
        raise ValueError(
            f"`{argument}` must be one of {tuple(choices)}. Received: {argument}={value!r}"
        )
    return value


def check_number(argument, value, low=0.0, high=math.inf, inclusive=False):
    """Refuse what is no finite number above `low` (or equal, if inclusive) and up to `high`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value > high or value < low:
        good = False
    else:
        good = inclusive or value > low
    if not good:
        bound = f"{'>=' if inclusive else '>'} {low:g}"
        bound += "" if high == math.inf else f" and <= {high:g}"
        raise ValueError(
            f"`{argument}` must be a finite number {bound}. Received: {argument}={value!r}"
        )
    return value


def check_integer(argument, value, low=1):
    """Refuse what is no integer >= `low`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(
            f"`{argument}` must be an integer >= {low}. Received: {argument}={value!r}"
        )
    return value


def check_one_pair(loss, tap):
    """Refuse lists of taps for a loss that compares one pair."""
    several = [taps for taps in (tap, loss.student_tap) if not isinstance(taps, str)]
    if several:
        name = type(loss).__name__
        raise ValueError(
            f"{name} compares one pair of features, so its taps must be names; give one {name} "
            f"per pair. Received: {several[0]!r}"
        )


def check_ranks(name, teacher_shape, student_shape, ranks, expected):
    """Refuse shapes of a rank that a loss does not take, and unlike batches.

    Args:
        name: the loss, for the message.
        teacher_shape: shape of one feature, with batch.
        student_shape: the same of the student.
        ranks: the ranks it takes.
        expected: these in words, for example `"maps (batch, height, width, channels)"`.
    """
    if len(teacher_shape) not in ranks or len(student_shape) not in ranks:
        raise ValueError(
            f"{name} compares {expected}. Received: teacher {tuple(teacher_shape)}, student "
            f"{tuple(student_shape)}. Choose other taps."
        )
    check_same_batch(name, teacher_shape, student_shape)


def check_same_batch(name, teacher_shape, student_shape):
    """Refuse unlike batches, one of which might be broadcast; unknown sizes pass."""
    if len({teacher_shape[0], student_shape[0]} - {None}) > 1:
        raise ValueError(
            f"{name} compares the same samples. Received: teacher {tuple(teacher_shape)}, student "
            f"{tuple(student_shape)}. Give teacher and student one batch."
        )


def check_batch(name, batch):
    """Refuse a batch of one for a loss between samples; unknown sizes pass."""
    if isinstance(batch, int) and batch < 2:
        raise ValueError(
            f"{name} compares the samples of a batch with each other and needs at least two. "
            f"Received: a batch of {batch}. Use larger batches, or drop the last one "
            "(drop_remainder=True)."
        )
