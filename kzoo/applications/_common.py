"""What the constructors share: the input, the top, weights and the two NumPy helpers."""

import keras
import numpy as np
from keras import ops

from kzoo import pretrained

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
_POOLING = (None, "avg", "max")


def image_input(
    input_shape, input_tensor, *, default_shape, min_size, include_top, static=False, name="image"
):
    """The tensor that a model starts from, and the inputs of that model.

    Args:
        input_shape: `(height, width, channels)` or `None`. Height and width may be
            `None` where the model does not need them (`static=False`).
        input_tensor: a `KerasTensor` to build on, or `None`. It is traced back to
            the inputs that it was computed from, as in `keras.applications`.
        default_shape: the shape where neither is given. Without a top its height
            and width are left open, unless `static`.
        min_size: the smallest height and width with which the model works.
        include_top: whether the model gets its classifier.
        static: the model needs to know height and width (it flattens the map).
        name: name of the input layer.

    Returns:
        `(x, inputs)`: where to go on, and what `keras.Model` takes as inputs.

    Raises:
        ValueError: for a wrong or too small shape, or under `channels_first`.
    """
    _check_data_format()
    if input_tensor is not None:
        shape = _tensor_shape(input_tensor, input_shape)
        _check_shape(shape, min_size, static)
        sources = keras.utils.get_source_inputs(input_tensor)
        return input_tensor, sources[0] if len(sources) == 1 else sources
    shape = input_shape
    if shape is None:
        free = not (include_top or static)
        shape = (None, None, default_shape[-1]) if free else default_shape
    _check_shape(shape, min_size, static)
    x = keras.Input(tuple(shape), name=name)
    return x, x


def attach_top(
    x, *, include_top, pooling, classes, classifier_activation, kernel_initializer="glorot_uniform"
):
    """The end of a model: `pooled`, `logits`, `predictions`, or only pooling.

    Args:
        x: a map `(batch, height, width, channels)`.
        include_top: with it: global average pooling, a `Dense` and its activation.
        pooling: without the top: `None` (the map), `"avg"` or `"max"`.
        classes: number of classes.
        classifier_activation: activation of the layer `predictions`; `None` ends
            the model at `logits`.
        kernel_initializer: of the layer `logits`.

    Returns:
        The last tensor.

    Raises:
        ValueError: for a wrong `pooling`, `classes` or `classifier_activation`.
    """
    check_top(pooling=pooling, classes=classes, classifier_activation=classifier_activation)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
        return classify(x, classes, classifier_activation, kernel_initializer)
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="pooled")(x)
    return x


def classify(x, classes, classifier_activation, kernel_initializer="glorot_uniform"):
    """The layers `logits` and `predictions` on a vector.

    Under a half-precision policy both compute in float32: a softmax and a
    distillation loss need more than eleven bits.
    """
    dtype = head_dtype()
    x = keras.layers.Dense(
        classes, kernel_initializer=kernel_initializer, dtype=dtype, name="logits"
    )(x)
    if classifier_activation is None:
        return x
    return keras.layers.Activation(classifier_activation, dtype=dtype, name="predictions")(x)


def head_dtype():
    """`"float32"` where the global policy computes in half precision, else `None`."""
    half = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
    return "float32" if half else None


def check_top(*, pooling, classes, classifier_activation):
    """Refuse wrong arguments of the top.

    Raises:
        ValueError: says which argument is wrong and what it must be.
    """
    if pooling not in _POOLING:
        raise ValueError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}')
    if not isinstance(classes, int | np.integer) or isinstance(classes, bool) or classes < 1:
        raise ValueError(f"`classes` must be a positive integer. Received: classes={classes!r}")
    if classifier_activation is not None:
        keras.activations.get(classifier_activation)


def load_weights(model, weights, *, name):
    """Load recorded weights by name or a file by path; `None` loads nothing.

    Args:
        model: the model that gets the weights.
        weights: `None`, the name of a recorded run or the path of a weight file.
        name: name of the constructor, for the error.

    Raises:
        ValueError: for an unknown name and a file that is missing, damaged or of
            another model.
    """
    if weights is None:
        return
    try:
        pretrained.load_weights(model, weights)
    except ValueError as error:
        raise ValueError(f"{name}(weights={str(weights)!r}): {error}") from error


def preprocess(x, mean=0.0, std=1.0):
    """Images of [0, 255] to [0, 1], then `(x - mean) / std`, in a new array.

    Args:
        x: NumPy array or tensor `(..., height, width, channels)`, of any dtype.
        mean: a number, or one a channel, in units of [0, 1].
        std: the same for the standard deviation.

    Returns:
        An array (for an array) or a tensor of the same shape; floats keep their
        dtype, integers become `keras.config.floatx()`.

    Raises:
        ValueError: where `mean` or `std` do not fit the channels of `x`.
    """
    if not ops.is_tensor(x):
        x = np.asarray(x)
    for label, value in (("mean", mean), ("std", std)):
        if np.ndim(value) and np.shape(value) != (x.shape[-1],):
            raise ValueError(
                f"`{label}` must be a number or one number for each of the {x.shape[-1]} channels "
                f"of `x`. Received: {label}={value}. Give that of your data set."
            )
    dtype = keras.backend.standardize_dtype(x.dtype)
    dtype = dtype if "float" in dtype else keras.config.floatx()
    mean, std = (np.asarray(value, dtype="float64") for value in (mean, std))
    scale, shift = 1.0 / (255.0 * std), -mean / std
    if isinstance(x, np.ndarray):
        return (x * scale + shift).astype(dtype)
    x = ops.cast(x, dtype)
    return x * ops.convert_to_tensor(scale, dtype) + ops.convert_to_tensor(shift, dtype)


def decode_predictions(predictions, class_names, top=5):
    """The most probable classes of each image, best first.

    Args:
        predictions: `(batch, classes)`: probabilities, or any score.
        class_names: one name a class, for example `dataset.spec.class_names`.
        top: how many classes to give; all of them where there are fewer.

    Returns:
        For each image a list of `(index, name, score)`.

    Raises:
        ValueError: where `predictions` is no matrix or the names are not as many.
    """
    scores = np.asarray(ops.convert_to_numpy(predictions))
    if scores.ndim != 2 or scores.shape[1] != len(class_names):
        raise ValueError(
            f"`predictions` must have the shape (batch, {len(class_names)}), one column for each "
            f"of `class_names`. Received: shape {scores.shape}"
        )
    if top < 1:
        raise ValueError(f"`top` must be at least 1. Received: top={top}")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(int(i), str(class_names[i]), float(row[i])) for i in best]
        for row, best in zip(scores, order, strict=True)
    ]


def _check_data_format():
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            'The models of kzoo need the image data format "channels_last". Received: '
            f'"{keras.config.image_data_format()}". Call '
            'keras.config.set_image_data_format("channels_last") first.'
        )


def _tensor_shape(tensor, input_shape):
    if not keras.utils.is_keras_tensor(tensor):
        raise ValueError(
            "`input_tensor` must be a KerasTensor, such as keras.Input(...) or the output of a "
            f"layer on one. Received: {type(tensor).__name__}"
        )
    shape = tuple(tensor.shape[1:])
    if input_shape is not None and tuple(input_shape) != shape:
        raise ValueError(
            f"`input_shape` {tuple(input_shape)} differs from the shape {shape} of `input_tensor`. "
            "Give only one of them."
        )
    return shape


def _check_shape(shape, min_size, static):
    sizes = list(shape)[:2]
    positive = [isinstance(n, int | np.integer) and n > 0 for n in shape]
    open_or_positive = [n is None or good for n, good in zip(sizes, positive, strict=False)]
    if len(shape) != 3 or not all(open_or_positive) or not positive[2]:
        raise ValueError(
            "`input_shape` must be (height, width, channels): positive integers, height and width "
            f"may be None. Received: input_shape={tuple(shape)}"
        )
    if static and None in sizes:
        raise ValueError(
            "This model has layers on the flattened image, so `input_shape` needs a height and a "
            f"width. Received: input_shape={tuple(shape)}"
        )
    if any(n is not None and n < min_size for n in sizes):
        raise ValueError(
            f"The smallest image for this model is {min_size}x{min_size}. "
            f"Received: input_shape={tuple(shape)}"
        )
