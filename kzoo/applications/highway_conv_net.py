"""Convolutional highway networks."""

import dataclasses

import keras

from kzoo.applications import _common
from kzoo.applications._common import decode_predictions
from kzoo.layers.highway_conv_2d import HighwayConv2D
from kzoo.registry import register, suggest

__all__ = ["VARIANTS", "HighwayConvNet", "decode_predictions", "preprocess_input"]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage: perhaps a plain convolution, highway layers, perhaps max pooling."""

    highways: int
    filters: int | None = None
    kernel_size: int = 3
    padding: str = "same"
    pool_size: int | None = None


@dataclasses.dataclass(frozen=True)
class Variant:
    """One published network; the first rate of dropout is for the image."""

    input_shape: tuple
    transform_bias: float
    stages: tuple
    dropout_rates: tuple
    logits_stddev: float
    last_filters: int | None = None


VARIANTS = {
    "mnist": Variant(
        input_shape=(28, 28, 1),
        transform_bias=-1.0,
        stages=(
            Stage(2, filters=32, kernel_size=5, padding="valid", pool_size=3),
            Stage(3, pool_size=3),
            Stage(3, pool_size=2),
        ),
        dropout_rates=(0.2, 0.3, 0.4, 0.5),
        logits_stddev=0.1,
    ),
    "cifar": Variant(
        input_shape=(32, 32, 3),
        transform_bias=-2.0,
        stages=(
            Stage(4, filters=32, pool_size=2),
            Stage(5, filters=80, pool_size=2),
            Stage(5, filters=128),
        ),
        dropout_rates=(0.2, 0.2, 0.2, 0.2),
        logits_stddev=0.05,
        last_filters=100,
    ),
}


@register(
    "application",
    paper="arXiv:1505.00387",
    aliases=("Highway-Conv",),
    tiny={"args": {}, "input_shape": (8, 8, 1)},
    parameters=[
        ({}, 149_130),
        ({"flatten": True}, 151_690),
        ({"variant": "cifar"}, 2_256_838),
    ],
    stages=3,
    min_size=8,
)
def HighwayConvNet(
    variant="mnist",
    flatten=False,
    transform_bias=None,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="highway_conv_net",
):
    """The convolutional highway networks of the authors, for MNIST and for CIFAR.

    Use it as a deep network without batch normalisation and without residual sums.
    Its `.keras` file needs `import kzoo` to load.

    Reference:
        Rupesh Kumar Srivastava, Klaus Greff, Jürgen Schmidhuber. Highway Networks. ICML
        Deep Learning Workshop 2015. arXiv:1505.00387. Layers as in the authors' network
        files for Caffe.

    Three stages of 3x3 highway layers y = H(x) T(x) + x (1 - T(x)), with dropout on the
    image, between the stages and before the classifier:

        "mnist": 10 layers: conv 5x5 (32), 2 highway, pool 3/2; 3 highway, pool 3/2;
                 3 highway, pool 2/2; classifier
        "cifar": 19 layers: conv 3x3 (32), 4 highway, pool 2/2; conv 3x3 (80), 5 highway,
                 pool 2/2; conv 3x3 (128), 5 highway; conv 1x1 (100); classifier

    Taps: `stem` is the first convolution after its ReLU; `stage1`, `stage2`, `stage3` are
    the ends of the stages, before their pooling (for `"cifar"` `stage3` is the 1x1
    convolution after its ReLU); `pooled`, `logits`, `predictions`.

    Args:
        variant: `"mnist"` or `"cifar"`.
        flatten: whether the classifier reads the flattened last map instead of its
            global average. `pooled` is then the flattened map.
        transform_bias: initial bias of the gates; -1 for `"mnist"` and -2 for `"cifar"`
            by default.
        include_top: whether to end with the classifier.
        weights: `None`, the name of a recorded run or the path of a `.weights.h5` file.
        input_tensor: a `KerasTensor` to build on.
        input_shape: `(height, width, channels)`; `(28, 28, 1)` or `(32, 32, 3)` by default.
            Height and width are at least 8, or, unless `flatten`, `None`.
        pooling: without the top: `None` for the last map, `"avg"` or `"max"`.
        classes: number of classes.
        classifier_activation: activation of the last layer; `None` gives logits.
        name: name of the model.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: for an unknown variant, an image that is too small, an open height or
            width with `flatten`, or weights that do not fit.

    Example:

    ```python
    import numpy as np
    from kzoo.applications import HighwayConvNet

    model = HighwayConvNet("mnist", input_shape=(16, 16, 1))
    assert model(np.zeros((2, 16, 16, 1), "float32")).shape == (2, 10)
    ```

    The authors' file for MNIST flattens the last map of 3x3x32; `flatten=True` is that
    network, with 151,690 parameters. The default pools the map, which has 149,130 and
    takes images of any size. Max pooling covers the border as Caffe does on even sizes
    (24, 12, 6, 3 for MNIST). Kernels start as Caffe's `xavier`, a uniform distribution of
    variance 1 / fan_in. The authors' file for CIFAR fills the first convolution from a
    Gaussian whose width it does not set; here it starts like the others.
    """
    if variant not in VARIANTS:
        raise ValueError(f"Unknown `variant`: {variant!r}. {suggest(variant, VARIANTS)}")
    plan = VARIANTS[variant]
    top = {"classes": classes, "classifier_activation": classifier_activation}
    _common.check_top(pooling=pooling, **top)
    x, inputs = _common.image_input(
        input_shape,
        input_tensor,
        default_shape=plan.input_shape,
        min_size=8,
        include_top=include_top,
        static=include_top and flatten,
    )
    bias = plan.transform_bias if transform_bias is None else transform_bias
    x = _features(x, plan, bias)
    if include_top:
        x = _read(x, flatten, plan.dropout_rates[-1])
        initializer = keras.initializers.RandomNormal(stddev=plan.logits_stddev)
        x = _common.classify(x, **top, kernel_initializer=initializer)
    else:
        x = _common.attach_top(x, include_top=False, pooling=pooling, **top)
    model = keras.Model(inputs, x, name=name)
    _common.load_weights(model, weights, name="HighwayConvNet")
    return model


def preprocess_input(x, mean=0.0, std=1.0):
    """Images of [0, 255] to [0, 1], then `(x - mean) / std`.

    Args:
        x: array or tensor `(..., height, width, channels)`; it is not changed.
        mean: one number, or one a channel. For weights that were recorded by kzoo give
            `dataset.spec.mean`.
        std: the same for the standard deviation.
    """
    return _common.preprocess(x, mean, std)


def _features(x, plan, bias):
    for number, stage in enumerate(plan.stages, start=1):
        last = number == len(plan.stages)
        x = keras.layers.Dropout(plan.dropout_rates[number - 1], name=f"dropout{number}")(x)
        if stage.filters is not None:
            end = "stem" if number == 1 else f"stage{number}_relu"
            x = _conv(
                x, stage.filters, stage.kernel_size, stage.padding, f"stage{number}_conv", end
            )
        one_more = last and plan.last_filters is not None
        for i in range(1, stage.highways + 1):
            is_end = i == stage.highways and not one_more
            name = f"stage{number}" if is_end else f"stage{number}_highway{i}"
            x = HighwayConv2D(
                3, "relu", bias, "lecun_uniform", data_format="channels_last", name=name
            )(x)
        if one_more:
            x = _conv(x, plan.last_filters, 1, "same", "last_conv", f"stage{number}")
        if stage.pool_size is not None:
            x = keras.layers.MaxPooling2D(
                stage.pool_size, strides=2, padding="same", name=f"stage{number}_pool"
            )(x)
    return x


def _conv(x, filters, kernel_size, padding, name, end):
    x = keras.layers.Conv2D(
        filters, kernel_size, padding=padding, kernel_initializer="lecun_uniform", name=name
    )(x)
    return keras.layers.Activation("relu", name=end)(x)


def _read(x, flatten, rate):
    if flatten:
        x = keras.layers.Flatten(name="pooled")(x)
    else:
        x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.layers.Dropout(rate, name="pooled_dropout")(x)
