"""Connectors: 1 x 1 convolutions to the teacher's channels, and what the losses with them share."""

import keras
from keras import ops

from kzoo.losses._arguments import MAPS, check_ranks
from kzoo.losses._base import DistillationLoss
from kzoo.losses._features import frozen, pairs, shape_pairs, single, smaller
from kzoo.losses._projector_argument import restored, written


class Connector(keras.layers.Layer):
    """A 1 x 1 convolution without bias, then batch normalisation.

    Args:
        channels: of the result.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.convolution = keras.layers.Conv2D(
            channels,
            1,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            ),
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.normalization = keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy, name="normalization"
        )

    def build(self, student_shape):
        """Create both layers' weights."""
        self.convolution.build(student_shape)
        self.normalization.build(self.compute_output_shape(student_shape))

    def call(self, student, training=None):
        """The student's map with the teacher's channels."""
        return self.normalization(self.convolution(student), training=training)

    def compute_output_shape(self, student_shape):
        """The student's sizes, the teacher's channels."""
        return (*student_shape[:-1], self.channels)


class ConnectedLoss(DistillationLoss):
    """Base of losses that compare maps before their activation, through connectors.

    Args:
        teacher_tap: a name or a list of names, from the shallowest to the deepest.
        student_tap: the same of the student.
        projector: `"connector"`, `None`, a layer (for one pair), or a list of these, one per pair.
        **kwargs: those of `DistillationLoss`; `pre_activation` is `True` by default.
    """

    connects_equal_channels = True

    def __init__(self, teacher_tap, student_tap, projector, **kwargs):
        kwargs.setdefault("pre_activation", True)
        super().__init__(teacher_tap=teacher_tap, student_tap=student_tap, **kwargs)
        self.projector = _check_projector(projector, len(self.teacher_taps))
        self._connectors = []

    def build(self, teacher_shape, student_shape):
        """Make the connectors that the shapes call for."""
        shapes = shape_pairs(teacher_shape, student_shape)
        if len(shapes) != len(self.teacher_taps):
            raise ValueError(
                f"Give one feature of each side per tap. Received: {len(shapes)} for the taps "
                f"{self.teacher_taps}"
            )
        single_choice = not isinstance(self.projector, list)
        chosen = [self.projector] * len(shapes) if single_choice else self.projector
        self._connectors = [
            self._connector(f"connector_{index}", choice, *both)
            for index, (choice, both) in enumerate(zip(chosen, shapes, strict=True))
        ]

    def _connector(self, name, choice, teacher_shape, student_shape):
        loss = type(self).__name__
        check_ranks(loss, teacher_shape, student_shape, (4,), MAPS)
        same = teacher_shape[-1] == student_shape[-1]
        if choice == "connector":
            if same and not self.connects_equal_channels:
                return None
            choice = Connector(teacher_shape[-1], dtype=self.dtype_policy, name=name)
        if choice is None:
            check_equal_channels(loss, teacher_shape, student_shape)
            return None
        if not choice.built:
            choice.build(student_shape)
        check_equal_channels(loss, teacher_shape, tuple(choice.compute_output_shape(student_shape)))
        return choice

    def connect(self, student, training=None):
        """The student's maps behind their connectors, as a list."""
        maps = list(student) if isinstance(student, list | tuple) else [student]
        return [
            each if connector is None else connector(each, training=training)
            for connector, each in zip(self._connectors, maps, strict=True)
        ]

    def compute_output_shape(self, teacher_shape, student_shape):
        """One value per sample."""
        return (shape_pairs(teacher_shape, student_shape)[0][1][0],)

    def get_config(self):
        """The constructor's arguments."""
        chosen = self.projector
        chosen = [written(c) for c in chosen] if isinstance(chosen, list) else written(chosen)
        return {**super().get_config(), "projector": chosen}


def weighted_sum(name, teacher, student, elements):
    """Per sample: `elements(index, teacher, student)` summed over each pair's map, then over pairs.

    The last pair counts once, each earlier one half of the next. Maps of unlike sizes meet at
    the smaller one.
    """
    both = pairs(teacher, student)
    total = 0.0
    for index, (t, s) in enumerate(both):
        check_equal_channels(name, t.shape, s.shape)
        t, s = at_one_size(frozen(t), single(s))
        share = 2.0 ** (index + 1 - len(both))
        total += share * ops.sum(elements(index, t, s), axis=(1, 2, 3))
    return total


def at_one_size(teacher, student):
    """Both maps at the smaller size; sizes that are not known are taken to be equal."""
    sizes = [*teacher.shape[1:3], *student.shape[1:3]]
    if None in sizes or sizes[:2] == sizes[2:]:
        return teacher, student
    return smaller(teacher, student)


def check_equal_channels(name, teacher_shape, student_shape):
    """Refuse what are no maps of equally many channels."""
    check_ranks(name, teacher_shape, student_shape, (4,), MAPS)
    if teacher_shape[-1] != student_shape[-1]:
        raise ValueError(
            f"{name} compares maps with equally many channels. Received: {teacher_shape[-1]} of "
            f"the teacher, {student_shape[-1]} of the student after its projector. Use "
            "projector='connector', or a layer that gives the teacher's channels."
        )


def _check_projector(projector, count):
    several = isinstance(projector, list | tuple)
    chosen = [restored(choice) for choice in (projector if several else [projector])]
    shared = not several and count > 1 and isinstance(chosen[0], keras.layers.Layer)
    known = all(c in ("connector", None) or isinstance(c, keras.layers.Layer) for c in chosen)
    if not known or shared or (several and len(chosen) != count):
        raise ValueError(
            "`projector` must be 'connector', None, a Keras layer (for one pair of taps), or a "
            f"list of these, one per pair of {count}. Received: projector={projector!r}"
        )
    return chosen if several else chosen[0]
