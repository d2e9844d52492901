"""What several feature losses do to their inputs."""

import functools

import numpy as np
from keras import ops


def pairs(teacher, student):
    """Teacher's and student's features as a list of pairs, whether one of each or lists."""
    teacher = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    student = list(student) if isinstance(student, list | tuple) else [student]
    if len(teacher) != len(student) or not teacher:
        raise ValueError(
            "Give as many features of the teacher as of the student, one at least. "
            f"Received: {len(teacher)} and {len(student)}"
        )
    return list(zip(teacher, student, strict=True))


def shape_pairs(teacher_shape, student_shape):
    """The same for shapes: one shape of each, or lists of shapes."""
    single = not teacher_shape or teacher_shape[0] is None or isinstance(teacher_shape[0], int)
    if single:
        return [(tuple(teacher_shape), tuple(student_shape))]
    return [(tuple(t), tuple(s)) for t, s in pairs(list(teacher_shape), list(student_shape))]


def frozen(teacher):
    """The teacher's feature in float32, without gradient."""
    return ops.stop_gradient(ops.cast(teacher, "float32"))


def single(student):
    """The student's feature in float32."""
    return ops.cast(student, "float32")


def flat(feature):
    """One row per sample."""
    return ops.reshape(feature, (-1, int(np.prod(feature.shape[1:]))))


def unit(feature, axis=-1, square_floor=1e-12):
    """Divided by the Euclidean norm; where that is 0 the value is 0 and the gradient finite."""
    norm = ops.sum(ops.square(feature), axis=axis, keepdims=True)
    return feature * ops.rsqrt(ops.maximum(norm, square_floor))


def smaller(teacher, student, mode="average"):
    """Both maps at the smaller height and the smaller width, the larger ones pooled."""
    height = min(teacher.shape[1], student.shape[1])
    width = min(teacher.shape[2], student.shape[2])
    return pool_to(teacher, height, width, mode), pool_to(student, height, width, mode)


def pool_to(maps, height, width, mode="average"):
    """Adaptive pooling of `(batch, height, width, channels)` to a height and width.

    Output bin i of n over size s covers the rows floor(i s / n) to ceil((i + 1) s / n), as in
    torch's adaptive pooling: plain pooling where n divides s, overlapping bins elsewhere.
    Larger targets repeat rows.

    Args:
        maps: the maps; their height and width must be known.
        height: of the result.
        width: of the result.
        mode: `"average"` or `"max"`.
    """
    if None in maps.shape[1:3]:
        raise ValueError(
            "Maps of unknown size cannot be pooled to another. Build the models with a fixed "
            f"input size. Received: {tuple(maps.shape)}"
        )
    for axis, size in ((1, height), (2, width)):
        if maps.shape[axis] != size:
            maps = _pool_axis(maps, axis, size, mode)
    return maps


def _pool_axis(maps, axis, size, mode):
    given = maps.shape[axis]
    if given % size == 0:
        shape = list(maps.shape)
        shape[axis : axis + 1] = [size, given // size]
        shape[0] = -1
        blocks = ops.reshape(maps, shape)
        if mode == "average":
            return ops.mean(blocks, axis=axis + 1)
        # Not `max` over the axis: its gradient under XLA without optimisation may be NaN.
        return functools.reduce(ops.maximum, ops.unstack(blocks, axis=axis + 1))
    bins = [(i * given // size, -(-(i + 1) * given // size)) for i in range(size)]
    if mode == "average":
        weights = np.zeros((size, given), "float32")
        for row, (begin, end) in zip(weights, bins, strict=True):
            row[begin:end] = 1.0 / (end - begin)
        # Bins overlap, so one small matrix product does it.
        return ops.moveaxis(ops.tensordot(maps, weights.T, [[axis], [0]]), -1, axis)
    at = (slice(None),) * axis
    return ops.stack([ops.max(maps[(*at, slice(b, e))], axis=axis) for b, e in bins], axis=axis)
