"""A classifier on what the middle of a network makes, of plain Keras layers."""

import math

import keras

_HALF = ("float16", "bfloat16")


def exit_model(place, width, classes, probabilities, dtype):
    """From a map or vector of a network to the classes.

    Args:
        place: where it reads the network.
        width: channels of the deepest feature.
        classes: number of classes.
        probabilities: whether it ends with a softmax.
        dtype: policy of the layers.

    Returns:
        A `keras.Model` `exit_<name of the place>`, with which the names of its layers begin.
    """
    name = f"exit_{place.name}"
    head = "float32" if dtype.compute_dtype in _HALF else dtype
    inputs = keras.Input(place.shape, dtype=dtype.compute_dtype, name=f"{name}_inputs")
    maps = len(place.shape) == 3
    x = (_from_map if maps else _from_vector)(inputs, place, width, name, dtype)
    x = keras.layers.Dense(
        classes,
        kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
        dtype=head,
        name=f"{name}_logits",
    )(x)
    if probabilities:
        x = keras.layers.Activation("softmax", dtype=head, name=f"{name}_predictions")(x)
    return keras.Model(inputs, x, name=name)


def reader(model):
    """An exit seen from inside: a model that gives its outputs, its logits and its feature."""
    inside = [model.get_layer(f"{model.name}_{end}").output for end in ("logits", "pooled")]
    return keras.Model(model.inputs, [*model.outputs, *inside], name=f"{model.name}_reader")


def _from_map(x, place, width, name, dtype):
    """Attention, then separable convolutions down to the deepest map's size."""
    channels = x.shape[-1]
    x = _attended(x, name, dtype)
    halvings = max(round(math.log2(a / b)) for a, b in zip(*place.sizes, strict=True))
    steps, strides = max(halvings, 1), 2 if halvings > 0 else 1
    for step in range(1, steps + 1):
        filters = round(channels * (width / channels) ** (step / steps))
        x = _separable(x, filters, strides, f"{name}_step{step}", dtype)
    return keras.layers.GlobalAveragePooling2D(dtype=dtype, name=f"{name}_pooled")(x)


def _from_vector(x, place, width, name, dtype):
    x = keras.layers.Dense(
        width,
        use_bias=False,
        kernel_initializer=_normal("fan_in"),
        dtype=dtype,
        name=f"{name}_dense",
    )(x)
    return _rectified(x, name, "", dtype, last=f"{name}_pooled")


def _attended(x, name, dtype):
    """A map times its attention, which is found at half the size."""
    sizes, channels = x.shape[1:3], x.shape[-1]
    # Where sizes are open, what is enlarged again might not fit.
    strides = 1 if None in sizes or min(sizes) < 2 else 2
    gate = _separable(x, channels, strides, f"{name}_attention", dtype)
    if strides > 1:
        gate = keras.layers.UpSampling2D(
            2, interpolation="bilinear", dtype=dtype, name=f"{name}_attention_enlarged"
        )(gate)
        odd = [(0, large - small) for large, small in zip(gate.shape[1:3], sizes, strict=True)]
        if any(after for _, after in odd):
            gate = keras.layers.Cropping2D(odd, dtype=dtype, name=f"{name}_attention_cropped")(gate)
    gate = keras.layers.Activation("sigmoid", dtype=dtype, name=f"{name}_attention")(gate)
    return keras.layers.Multiply(dtype=dtype, name=f"{name}_attended")([x, gate])


def _separable(x, filters, strides, name, dtype):
    """Two separable convolutions, the first with the strides, each normalised and rectified."""
    for number, (out, step) in enumerate(((x.shape[-1], strides), (filters, 1)), start=1):
        x = keras.layers.SeparableConv2D(
            out,
            3,
            strides=step,
            padding="same",
            use_bias=False,
            depthwise_initializer=_normal("fan_in"),
            pointwise_initializer=_normal("fan_out"),
            dtype=dtype,
            name=f"{name}_conv{number}",
        )(x)
        x = _rectified(x, name, number, dtype)
    return x


def _rectified(x, name, number, dtype, last=None):
    x = keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_norm{number}"
    )(x)
    last = last or f"{name}_relu{number}"
    return keras.layers.Activation("relu", dtype=dtype, name=last)(x)


def _normal(mode):
    return keras.initializers.VarianceScaling(2, mode, "untruncated_normal")
