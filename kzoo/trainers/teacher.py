"""A model to learn from, and how it is asked."""

import keras
from keras import ops

from kzoo import taps
from kzoo.trainers._teaching import OUTPUTS, Teaching, check_weight


@keras.saving.register_keras_serializable(package="kzoo")
class Teacher(Teaching):
    """A trained model that teaches, with inputs, classes and a weight of its own.

    A plain `keras.Model` given to a `Distiller` is a `Teacher` with the defaults. Use this where
    the teacher wants other preprocessing or another resolution than the student, knows
    other classes, or is one of several. The model is never changed.

    Args:
        model: any built `keras.Model`, under any dtype policy.
        weight: multiplies the losses towards this teacher, > 0. `None`: 1 divided by the
            number of teachers.
        preprocess: what turns the student's inputs into the teacher's: a Keras layer or model,
            for example `keras.layers.Resizing(96, 96)`, or a function of the batch (registered
            with Keras if the trainer is to be saved).
        classes: for each class of the student the number of that class in the teacher's
            outputs. The logits are read in this order and softened among these alone.
        batch_statistics: whether the teacher runs in training mode, so that batch normalisation
            uses the statistics of the batch (and dropout drops: on TensorFlow and JAX with one
            mask for all steps). Its moving statistics and seeds stay as they are. Feature
            overhaul was published so.
        name: for the names of terms; the model's by default.

    Raises:
        ValueError: for what is no model, a bad weight, or classes that the teacher lacks.

    Example:

    ```python
    import keras
    from kzoo.losses import SoftTargets
    from kzoo.trainers import Distiller, Teacher

    def classifier(size, classes):
        return keras.Sequential(
            [keras.Input((size, size, 1)), keras.layers.Flatten(), keras.layers.Dense(classes)]
        )

    teacher = Teacher(
        classifier(16, classes=5), preprocess=keras.layers.Resizing(16, 16), classes=[4, 0, 2]
    )
    distiller = Distiller(classifier(8, classes=3), teacher, SoftTargets())
    ```
    """

    def __init__(
        self,
        model,
        weight=None,
        preprocess=None,
        classes=None,
        batch_statistics=False,
        name=None,
    ):
        if not isinstance(model, keras.Model):
            raise ValueError(f"A teacher must be a keras.Model. Received: {model!r}")
        if preprocess is not None and not callable(preprocess):
            raise ValueError(
                "`preprocess` must be a Keras layer or a function of the batch. "
                f"Received: preprocess={preprocess!r}"
            )
        self.model = model
        self.weight = check_weight(weight)
        self.preprocess = preprocess
        self.classes = None if classes is None else _check_classes(classes)
        self.batch_statistics = bool(batch_statistics)
        self.name = name or model.name
        self._read = None

    @property
    def models(self):
        """The frozen parts: the model, and the preprocessing where it is a layer."""
        layer = isinstance(self.preprocess, keras.layers.Layer)
        return [self.model, *([self.preprocess] if layer else [])]

    def prepare(self, names):
        """Make the extractor of these taps; returns their shapes.

        Taps that were asked for before stay: one teacher may serve several trainers.
        """
        known = [] if self._read is None else self._read.tap_shapes
        self._read = taps.extractor(self.model, list(dict.fromkeys([*known, *names, OUTPUTS])))
        return {tap: self._mapped_shape(tap, s) for tap, s in self._read.tap_shapes.items()}

    def read(self, run, batch):
        """Tap -> tensor, and `"outputs"`, without gradient."""
        inputs = self.adapt(batch.inputs)
        shown = run(self._read, inputs, batch_statistics=self.batch_statistics)
        return {tap: self._mapped(tap, tensor) for tap, tensor in shown.items()}

    def differentiable(self, inputs, names):
        """The features at taps as a function of the inputs through which gradients flow."""
        shown = self._read(self.adapt(inputs), training=False)
        return {tap: self._mapped(tap, shown[tap]) for tap in names}

    def adapt(self, inputs):
        """The teacher's inputs for those of the student."""
        return inputs if self.preprocess is None else self.preprocess(inputs)

    def build(self, input_shape):
        """Build the model where it is not; its shape is the student's unless it is preprocessed."""
        if not self.model.built and self.preprocess is None:
            self.model.build(input_shape)

    def build_preprocess(self, input_shape):
        """Let a preprocessing layer make what it needs, outside of any traced step."""
        layer = isinstance(self.preprocess, keras.layers.Layer)
        known = isinstance(input_shape, tuple) and None not in input_shape[1:]
        if layer and known:
            self.preprocess(ops.zeros((1, *input_shape[1:])))

    def check_against(self, student):
        """Refuse models of which one cannot take the other's batch."""
        shapes = [getattr(model, "input_shape", None) for model in (student, self.model)]
        if self.preprocess is not None or not all(isinstance(shape, tuple) for shape in shapes):
            return
        equal = len(shapes[0]) == len(shapes[1]) and all(
            None in pair or pair[0] == pair[1] for pair in zip(*shapes, strict=True)
        )
        if not equal:
            raise ValueError(
                f"Student and teacher must take the same inputs. Received: student {shapes[0]}, "
                f"teacher {shapes[1]}. Give Teacher(model, preprocess=...), for example "
                "keras.layers.Resizing(height, width)."
            )

    def _mapped(self, tap, tensor):
        if self.classes is None or not _is_logits(tap):
            return tensor
        return keras.tree.map_structure(lambda t: ops.take(t, self.classes, axis=-1), tensor)

    def _mapped_shape(self, tap, shape):
        if self.classes is None:
            return shape
        if not _is_logits(tap):
            self._check_no_scores(tap, shape)
            return shape
        if max(self.classes) >= shape[-1]:
            raise ValueError(
                f"`classes` names class {max(self.classes)}, but the teacher {self.name!r} has "
                f"{shape[-1]} classes, 0 to {shape[-1] - 1}."
            )
        return (*shape[:-1], len(self.classes))

    def _check_no_scores(self, tap, shape):
        """Refuse class scores under another name, which would be left in the teacher's order."""
        outputs = getattr(self.model, "output_shape", None)
        if tap in _FEATURES or not isinstance(outputs, tuple) or shape != outputs:
            return
        raise ValueError(
            f"The tap {tap!r} of the teacher {self.name!r} looks like its class scores, which "
            "`classes` reorders under the name 'logits' alone. Tap 'logits'."
        )

    def get_config(self):
        """The constructor's arguments."""
        preprocess = self.preprocess
        if preprocess is not None:
            preprocess = keras.saving.serialize_keras_object(preprocess)
        return {
            "model": keras.saving.serialize_keras_object(self.model),
            "weight": self.weight,
            "preprocess": preprocess,
            "classes": self.classes,
            "batch_statistics": self.batch_statistics,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        config = dict(config)
        for key in ("model", "preprocess"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


_FEATURES = ("pooled", "pooled:pre")


def _is_logits(tap):
    return tap == OUTPUTS or tap.split(":")[0] == "logits"


def _check_classes(classes):
    classes = [int(c) for c in classes]
    if not classes or min(classes) < 0:
        raise ValueError(
            "`classes` must give, for each class of the student, its number >= 0 in the "
            f"teacher's outputs. Received: classes={classes}"
        )
    return classes
