"""Shapes of features, checked for the losses that compare maps or whole features."""

from kzoo.losses._arguments import MAPS, check_ranks


def check_maps(name, teacher_shape, student_shape):
    """Refuse what are not two maps `(batch, height, width, channels)` of known sizes."""
    check_ranks(name, teacher_shape, student_shape, (4,), MAPS)
    _check_sizes(name, teacher_shape, student_shape)


def check_features(name, teacher_shape, student_shape):
    """Refuse what are not two features `(batch, ...)` of known sizes."""
    check_ranks(name, teacher_shape, student_shape, range(2, 7), "features (batch, ...)")
    _check_sizes(name, teacher_shape, student_shape)


def _check_sizes(name, teacher_shape, student_shape):
    if None in (*teacher_shape[1:], *student_shape[1:]):
        raise ValueError(
            f"{name} needs features of known sizes. Received: teacher {tuple(teacher_shape)}, "
            f"student {tuple(student_shape)}. Build the models with a fixed input size."
        )
