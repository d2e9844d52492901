"""Residual networks for small images."""

import contextlib
import sys

import keras

from kzoo.applications import _common
from kzoo.applications._common import decode_predictions
from kzoo.registry import register

__all__ = ["ResNet", "decode_predictions", "preprocess_input"]

_STAGES = 3
_RECURSION_PER_LAYER = 4


@register(
    "application",
    paper="arXiv:1512.03385",
    aliases=("ResNet-CIFAR", "ResNet-20", "ResNet20"),
    tiny={"args": {"depth": 8, "filters": 4}, "input_shape": (8, 8, 3)},
    parameters=[
        ({"depth": 20}, 269_722),
        ({"depth": 32}, 464_154),
        ({"depth": 44}, 658_586),
        ({"depth": 56}, 853_018),
        ({"depth": 110}, 1_727_962),
        ({"depth": 20, "shortcut": "B"}, 272_474),
    ],
    stages=_STAGES,
    min_size=8,
)
def ResNet(
    depth=20,
    shortcut="A",
    filters=16,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="resnet",
):
    """The residual network for CIFAR, of depth 6n + 2.

    Use it as the plain, well-known baseline for images of about 32x32, and as a
    teacher or student in comparisons with published distillation results. It
    consists of built-in Keras layers only, so its `.keras` file loads without kzoo.

    Reference:
        Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. Deep Residual Learning for
        Image Recognition. CVPR 2016. arXiv:1512.03385.

    A 3x3 convolution to `filters` channels, then three stages of n basic blocks with
    `filters`, `2 filters` and `4 filters` channels, then global average pooling. The
    first block of the stages 2 and 3 halves height and width. With batch
    normalisation BN and 3x3 convolutions W1, W2 a block computes

        y = relu(BN(W2 relu(BN(W1 x))) + s(x))

    where the shortcut s is the identity, except where the shape changes. There
    `"A"` takes every second pixel and appends zero channels, without parameters,
    and `"B"` is a 1x1 convolution with stride 2 and batch normalisation.

    Taps: `stem`, `stage1`, `stage2`, `stage3` (after the last ReLU of the stage),
    `pooled`, `logits`, `predictions`.

    Args:
        depth: number of layers with weights, 6n + 2: 8, 14, 20, 32, 44, 56, 110, 1202.
        shortcut: `"A"` (no parameters) or `"B"` (projection).
        filters: channels of the first stage.
        include_top: whether to end with the classifier.
        weights: `None`, the name of a recorded run or the path of a `.weights.h5` file.
        input_tensor: a `KerasTensor` to build on.
        input_shape: `(height, width, channels)`; `(32, 32, 3)` by default. Height and
            width are at least 8, or `None`.
        pooling: without the top: `None` for the last map, `"avg"` or `"max"`.
        classes: number of classes.
        classifier_activation: activation of the last layer; `None` gives logits.
        name: name of the model.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: for a depth that is not 6n + 2, an unknown shortcut, an image that
            is too small, or weights that do not fit.

    Example:

    ```python
    import numpy as np
    from kzoo.applications import ResNet

    model = ResNet(depth=8, filters=8, input_shape=(16, 16, 3))
    assert model(np.zeros((2, 16, 16, 3), "float32")).shape == (2, 10)
    ```

    Convolutions with stride 2 pad one pixel on each side, so that they are centred on
    the pixels that the shortcut `"A"` keeps; `padding="same"` would be one pixel off
    on even sizes. As in the authors' Torch lineage, kernels are drawn from an
    untruncated normal distribution with variance 2 / (k^2 c_out), those of `logits`
    from U(-1/sqrt(c), 1/sqrt(c)), and batch normalisation has momentum 0.9 and
    epsilon 1e-5. Where zero channels go is not said in the paper; here they come last.
    With more than about 200 layers the graph is deeper than Python's recursion limit: a
    saved ResNet of such a depth loads after `sys.setrecursionlimit(20000)`.
    """
    _check(depth, shortcut, filters)
    x, inputs = _common.image_input(
        input_shape,
        input_tensor,
        default_shape=(32, 32, 3),
        min_size=8,
        include_top=include_top,
    )
    x = _conv_bn(x, filters, "stem")
    x = keras.layers.Activation("relu", name="stem")(x)
    blocks = (depth - 2) // 6
    for stage in range(1, _STAGES + 1):
        width = filters * 2 ** (stage - 1)
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            end = f"stage{stage}" if block == blocks else f"stage{stage}_block{block}"
            x = _block(x, width, strides, shortcut, f"stage{stage}_block{block}", end)
    x = _common.attach_top(
        x,
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
    )
    with _recursion_limit(_RECURSION_PER_LAYER * depth):
        model = keras.Model(inputs, x, name=name)
    _common.load_weights(model, weights, name="ResNet")
    return model


def preprocess_input(x, mean=_common.CIFAR10_MEAN, std=_common.CIFAR10_STD):
    """Images of [0, 255] to [0, 1], then standardised with the statistics of CIFAR-10.

    Args:
        x: array or tensor `(..., height, width, channels)`; it is not changed.
        mean: one number a channel, or one for all. For weights that were recorded by
            kzoo give `dataset.spec.mean`.
        std: the same for the standard deviation.
    """
    return _common.preprocess(x, mean, std)


def _check(depth, shortcut, filters):
    if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
        raise ValueError(f"`depth` must be 6n + 2: 8, 14, 20, ... Received: depth={depth!r}")
    if shortcut not in ("A", "B"):
        raise ValueError(f'`shortcut` must be "A" or "B". Received: shortcut={shortcut!r}')
    if not isinstance(filters, int) or filters < 1:
        raise ValueError(f"`filters` must be a positive integer. Received: filters={filters!r}")


def _block(x, filters, strides, shortcut, name, end):
    y = _conv_bn(x, filters, name, "1", strides)
    y = keras.layers.Activation("relu", name=f"{name}_relu1")(y)
    y = _conv_bn(y, filters, name, "2")
    if strides > 1:
        x = (_zero_padded if shortcut == "A" else _projection)(x, filters, name)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.Activation("relu", name=end)(x)


def _conv_bn(x, filters, name, index="", strides=1):
    if strides > 1:
        x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad{index}")(x)
    x = _conv(filters, 3, strides, "valid" if strides > 1 else "same", f"{name}_conv{index}")(x)
    return _batch_norm(f"{name}_bn{index}")(x)


def _zero_padded(x, filters, name):
    x = keras.layers.AveragePooling2D(1, strides=2, name=f"{name}_shortcut_subsample")(x)
    missing = filters - x.shape[-1]
    # In "channels_first" this layer pads the two last axes: here width and channels.
    return keras.layers.ZeroPadding2D(
        ((0, 0), (0, missing)), data_format="channels_first", name=f"{name}_shortcut_pad"
    )(x)


def _projection(x, filters, name):
    x = _conv(filters, 1, 2, "valid", f"{name}_shortcut_conv")(x)
    return _batch_norm(f"{name}_shortcut_bn")(x)


def _conv(filters, kernel_size, strides, padding, name):
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2, "fan_out", "untruncated_normal"),
        name=name,
    )


def _batch_norm(name):
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


@contextlib.contextmanager
def _recursion_limit(needed):
    """Keras sorts the graph of a model by recursion, once a layer of its longest path."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, before + needed))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
