"""Trainable maps from a student's feature to a teacher's shape, and how losses share them."""

import contextlib
import threading

import keras

_active = threading.local()


class Regressor(keras.layers.Layer):
    """One convolution (a dense layer for vectors) from a student's feature to a teacher's shape.

    The kernel follows from the sizes of each spatial axis, s of the student, t of the teacher:

        s = 2t        3, stride 2, one pixel of zeros around
        s >= t        1 + s − t, stride 1, no padding
        2s = t        4, stride 2, transposed (on both axes or on none)

    Args:
        teacher_shape: shape of the teacher's feature, with batch.
        normalize: whether batch normalisation follows.
        activation: what comes last; `None` for a linear map.
    """

    def __init__(self, teacher_shape, normalize=False, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.teacher_shape = tuple(teacher_shape)
        self.normalize = normalize
        self.activation = keras.activations.get(activation)
        self.padding = self.mapping = self.normalization = None

    def build(self, student_shape):
        """Create the layers that these shapes call for."""
        check_pair(self.teacher_shape, student_shape)
        shape = tuple(student_shape)
        if len(shape) == 2:
            self.mapping = keras.layers.Dense(
                self.teacher_shape[-1], dtype=self.dtype_policy, name="dense"
            )
        else:
            pads, self.mapping = self._convolution(shape[1:3])
            if any(pads):
                self.padding = keras.layers.ZeroPadding2D(
                    [(p, p) for p in pads], dtype=self.dtype_policy, name="padding"
                )
                shape = self.padding.compute_output_shape(shape)
        self.mapping.build(shape)
        if self.normalize:
            self.normalization = keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy, name="normalization"
            )
            self.normalization.build(self.mapping.compute_output_shape(shape))

    def _convolution(self, sizes):
        """Zeros around each axis, and the convolution that maps `sizes` to the teacher's."""
        channels, targets = self.teacher_shape[-1], self.teacher_shape[1:3]
        axes = list(zip(sizes, targets, strict=True))
        known = {"dtype": self.dtype_policy, "name": "convolution"}
        if all(2 * s == t for s, t in axes):
            same = {"strides": 2, "padding": "same"}
            return (0, 0), keras.layers.Conv2DTranspose(channels, 4, **same, **known)
        if any(s < t for s, t in axes):
            raise ValueError(
                "The regressor maps a student's map to a teacher's that is no larger, or twice as "
                f"large on both axes. Received: student {tuple(sizes)}, teacher {tuple(targets)} "
                "(height, width). Choose taps of nearer sizes, or pass a layer as `projector`."
            )
        halves = [s == 2 * t for s, t in axes]
        kernel = [3 if half else 1 + s - t for half, (s, t) in zip(halves, axes, strict=True)]
        strides = [1 + half for half in halves]
        convolution = keras.layers.Conv2D(channels, kernel, strides=strides, **known)
        return [int(half) for half in halves], convolution

    def call(self, student, training=None):
        """The student's feature in the teacher's shape."""
        if self.padding is not None:
            student = self.padding(student)
        student = self.mapping(student)
        if self.normalization is not None:
            student = self.normalization(student, training=training)
        return self.activation(student)

    def compute_output_shape(self, student_shape):
        """The teacher's shape, with the student's batch."""
        return (student_shape[0], *self.teacher_shape[1:])


def check_pair(teacher_shape, student_shape):
    """Refuse two features between which no regressor can be inferred."""
    received = f"Received: teacher {tuple(teacher_shape)}, student {tuple(student_shape)}"
    if len(teacher_shape) != len(student_shape) or len(student_shape) not in (2, 4):
        raise ValueError(
            "A projector is inferred between two maps (batch, height, width, channels) or two "
            f"vectors (batch, features). {received}. Choose taps of equal rank."
        )
    if None in (*teacher_shape[1:], *student_shape[1:]):
        raise ValueError(
            "A projector is inferred from known sizes. Build the models with a fixed input size, "
            f"or pass a layer as `projector`, for example keras.layers.Conv2D(...). {received}"
        )


@contextlib.contextmanager
def shared_projections():
    """While this is open, a projector runs once on a tensor, whichever losses ask for it."""
    outer = getattr(_active, "memo", None)
    _active.memo = {}
    try:
        yield
    finally:
        _active.memo = outer


def project(projector, student, training=None):
    """`projector(student)`, computed once within `shared_projections`."""
    memo = getattr(_active, "memo", None)
    if memo is None:
        return projector(student, training=training)
    key = id(projector), id(student), training
    if key not in memo:
        # The student's tensor is kept too: an id is unique only while its object lives.
        memo[key] = student, projector(student, training=training)
    return memo[key][1]


def build_losses(losses, teacher_shapes, student_shapes):
    """Build losses from the shapes of the taps; those that tap one pair alike get one projector.

    Args:
        losses: the losses of one student and one teacher.
        teacher_shapes: tap -> shape, as `Extractor.tap_shapes` of the teacher gives it.
        student_shapes: the same of the student.
    """
    owners = {}
    for loss in losses:
        key = loss.projector_key
        owner = loss if key is None else owners.setdefault(key, loss)
        if owner is not loss:
            loss.adopt_projector(owner)
        if not loss.built:
            loss.build(
                _pick(teacher_shapes, loss.teacher_tap, loss.teacher_taps),
                _pick(student_shapes, loss.student_tap, loss.student_taps),
            )


def _pick(shapes, tap, spelled):
    picked = [shapes[name] for name in spelled]
    return picked[0] if isinstance(tap, str) else picked
