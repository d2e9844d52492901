"""Discriminators: those that are made where none is given, and what a given one must be."""

import keras
from keras import ops

from kzoo.losses._arguments import check_integer

WIDTHS = (128, 256, 128)


@keras.saving.register_keras_serializable(package="kzoo")
class SpectralDense(keras.layers.Layer):
    """A `Dense` layer whose kernel is divided by its largest singular value.

    `keras.layers.SpectralNormalization` writes the divided kernel back in each training pass. JAX
    loses what a pass writes to trainable variables, so that in inference mode its kernel is not
    divided there, and a pass of another player would move the kernel. This layer divides in
    each pass and in both modes, and writes to its `direction` alone, and in training mode alone.

    Args:
        units: outputs.
        iterations: steps of the power method in each pass, >= 1.
        **kwargs: those of `keras.layers.Layer`.
    """

    def __init__(self, units, iterations=3, **kwargs):
        super().__init__(**kwargs)
        self.units = check_integer("units", units)
        self.iterations = check_integer("iterations", iterations)

    def build(self, input_shape):
        """Make kernel and bias, and the direction from which the power method starts."""
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.direction = self.add_weight(
            shape=(1, self.units), initializer="random_normal", trainable=False, name="direction"
        )

    def call(self, inputs, training=None):
        """The outputs under the divided kernel."""
        kernel = ops.convert_to_tensor(self.kernel)
        fixed, right = ops.stop_gradient(kernel), ops.convert_to_tensor(self.direction)
        for _ in range(self.iterations):
            left = _unit(ops.matmul(right, ops.transpose(fixed)))
            right = _unit(ops.matmul(left, fixed))
        if training:
            self.direction.assign(right)
        norm = ops.sum(ops.matmul(left, kernel) * right)
        return ops.matmul(inputs, kernel / ops.maximum(norm, 1e-12)) + self.bias

    def compute_output_shape(self, input_shape):
        """As of `Dense`."""
        return (*input_shape[:-1], self.units)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units, "iterations": self.iterations}


def vector_judge(width, classes, spectral):
    """A discriminator of vectors: one output for teacher or student, one for each class.

    Args:
        width: of the vectors.
        classes: how many there are.
        spectral: whether its Lipschitz constant is kept at 1.
    """
    dense = SpectralDense if spectral else keras.layers.Dense
    layers = [keras.Input((width,), name="judged")]
    for number, units in enumerate(WIDTHS, start=1):
        layers.append(dense(units, dtype="float32", name=f"judge{number}"))
        layers.append(keras.layers.LeakyReLU(0.2, dtype="float32", name=f"judge{number}_relu"))
    layers.append(dense(1 + classes, dtype="float32", name="verdict"))
    return keras.Sequential(layers, name="discriminator")


def check_vector_judge(model, width, classes):
    """Refuse a discriminator that cannot judge vectors; build it where it is not built.

    Returns:
        The number of its outputs.
    """
    expected = (None, width)
    if not model.built:
        model.build(expected)
    if not same_shape(getattr(model, "input_shape", expected), expected):
        raise ValueError(
            f"`discriminator` judges vectors of {width} components here and must take inputs of "
            f"shape {expected}. Received: input shape {model.input_shape}"
        )
    given = model.compute_output_shape(expected)
    if not isinstance(given, tuple) or len(given) != 2 or given[-1] not in (1, 1 + classes):
        raise ValueError(
            "`discriminator` must return one logit for teacher or student, and after it "
            f"{classes} for the classes or none: outputs of shape (None, {1 + classes}) or "
            f"(None, 1). Received: output shape {given}"
        )
    return given[-1]


def same_shape(first, second):
    """Whether two shapes can be those of one batch; sizes that are `None` fit all."""
    if not isinstance(first, tuple) or not isinstance(second, tuple):
        return first == second
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(None in pair or len(set(pair)) == 1 for pair in pairs)


def label_judge(teacher):
    """A discriminator of images with labels: the teacher's architecture, with new weights."""
    return thawed(copied(teacher, "discriminator", "Give a `discriminator`"))


def copied(model, name, remedy):
    """A model of the same architecture with weights of its own, drawn anew.

    Raises:
        ValueError: where Keras cannot make one from the model's configuration.
    """
    try:
        copy = keras.models.clone_model(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"The teacher {model.name!r} cannot be copied ({error}). {remedy}, or make the "
            "teacher a functional or Sequential model."
        ) from error
    copy.name = name
    return copy


def thawed(model):
    """The model with all layers trainable."""
    # Keras passes on a change alone.
    model.trainable = False
    model.trainable = True
    return model


def _unit(vector):
    return vector / ops.maximum(ops.norm(vector), 1e-12)
