"""Samples pushed towards a decision boundary of the teacher."""

import keras
from keras import ops

from kzoo.gradients import input_gradient
from kzoo.losses._arguments import check_number

# A log-probability that is never drawn; infinity would be NaN times zero somewhere.
NEVER = -1e9


def check_clip(clip):
    """The range of the inputs as `(low, high)`."""
    if isinstance(clip, list | tuple) and len(clip) == 2 and clip[0] < clip[1]:
        return tuple(clip)
    if isinstance(clip, list | tuple):
        raise ValueError(f"`clip` must be a number > 0 or a pair (low, high). Received: {clip}")
    return -check_number("clip", clip), clip


def check_inputs(inputs):
    """Refuse what the attack cannot move."""
    several = isinstance(inputs, list | tuple | dict)
    if several or not keras.backend.is_float_dtype(inputs.dtype):
        received = type(inputs).__name__ if several else f"a tensor of {inputs.dtype}"
        raise ValueError(
            "BoundarySupport attacks models with one input tensor of floats. Cast the images, or "
            f"leave this loss out. Received: {received}"
        )


def base_samples(teacher, student, labels, num_samples):
    """The samples to attack: both networks are right, and differ most on the other classes.

    Args:
        teacher: the teacher's logits, `(batch, classes)`.
        student: the student's.
        labels: `(batch,)`, int32.
        num_samples: how many at most.

    Returns:
        `(indices, valid)`, both `(k,)` with k the smaller of `num_samples` and the batch: positions
        in the batch, and whether each is one. The others only fill up.
    """
    squares = ops.square(ops.softmax(teacher) - ops.softmax(student))
    scores = ops.sum(squares * (1.0 - _hot(labels, teacher)), axis=-1)
    right = ops.logical_and(_predicts(teacher, labels), _predicts(student, labels))
    batch = ops.shape(teacher)[0]
    count = min(num_samples, batch) if isinstance(batch, int) else ops.minimum(num_samples, batch)
    best, indices = ops.top_k(ops.where(right, scores, -1.0), count)
    return indices, best >= 0


def draw_targets(teacher, labels, seed):
    """A class other than the label for each sample, as likely as the teacher finds it.

    Args:
        teacher: the teacher's logits, `(k, classes)`.
        labels: `(k,)`.
        seed: a `keras.random.SeedGenerator`.
    """
    others = ops.where(_hot(labels, teacher) > 0, NEVER, ops.log_softmax(teacher))
    return keras.random.categorical(others, 1, dtype="int32", seed=seed)[:, 0]


def attack(read_teacher, inputs, labels, targets, valid, *, steps, step_size, clip):
    """Move inputs until the teacher no longer sees their class, at most `steps` times.

        x ← clip(x + step_size · (z_label − z_target + 1e-4) · g / ‖g‖),  g = ∇ (z_target − z_label)

    All samples go through the teacher together; those that are across, or not valid, stay.

    Args:
        read_teacher: from inputs to the teacher's logits.
        inputs: `(k, ...)`, floats.
        labels: `(k,)`, the class to leave.
        targets: `(k,)`, the class to go to.
        valid: `(k,)`, which samples are attacked at all.
        steps: how many at most.
        step_size: see above.
        clip: `(low, high)` of the inputs.
    """

    def gap(x):
        logits = ops.cast(read_teacher(x), "float32")
        both = _hot(targets, logits) - _hot(labels, logits)
        return ops.sum(logits * both, axis=-1), logits

    def step(x, active):
        gradient, logits = input_gradient(gap, x, has_aux=True)
        active = ops.logical_and(active, _predicts(logits, labels))
        both = _hot(labels, logits) - _hot(targets, logits)
        length = step_size * (ops.sum(logits * both, axis=-1) + 1e-4)
        axes = tuple(range(1, len(x.shape)))
        norm = ops.sum(ops.square(gradient), axis=axes, keepdims=True)
        shape = (-1, *(1 for _ in axes))
        moved = x + ops.reshape(length, shape) * gradient * ops.rsqrt(ops.maximum(norm, 1e-30))
        return ops.where(ops.reshape(active, shape), ops.clip(moved, *clip), x), active

    inputs = ops.cast(inputs, "float32")
    moved, _ = ops.while_loop(
        lambda x, active: ops.any(active), step, (inputs, valid), maximum_iterations=steps
    )
    return ops.stop_gradient(moved)


def _hot(labels, logits):
    return ops.one_hot(labels, logits.shape[-1], dtype="float32")


def _predicts(logits, labels):
    return ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels)
