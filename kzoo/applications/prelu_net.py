"""The small PReLU network of He et al., for small images."""

import keras

from kzoo.applications import _common
from kzoo.applications._common import decode_predictions
from kzoo.initializers.he_prelu import HePReLU
from kzoo.layers.prelu import PReLU
from kzoo.registry import register

__all__ = ["PReLUNet", "decode_predictions", "preprocess_input"]

_LAYERS = (4, 6)


@register(
    "application",
    paper="arXiv:1502.01852",
    aliases=("PReLU-net",),
    tiny={"args": {"filters": 4}, "input_shape": (8, 8, 3)},
    parameters=[
        ({}, 422_058),
        ({"shared": "all"}, 421_013),
        ({"filters": 64}, 1_679_690),
    ],
    stages=len(_LAYERS),
    min_size=8,
)
def PReLUNet(
    filters=32,
    shared="channel",
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="prelu_net",
):
    """A plain convolutional network with PReLU, after the paper's small model.

    Use it as a network without batch normalisation and without shortcuts, which trains
    because of its initialisation, or to look at learned slopes layer by layer. Its
    `.keras` file needs `import kzoo` to load.

    Reference:
        Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. Delving Deep into Rectifiers:
        Surpassing Human-Level Performance on ImageNet Classification. ICCV 2015.
        arXiv:1502.01852.

    A 3x3 convolution to f = `filters` channels, max pooling, four 2x2 convolutions to 2f
    channels, max pooling, six 2x2 convolutions to 4f channels, global average pooling and
    the classifier. Each convolution has a bias and is followed by PReLU,
    f(y) = max(0, y) + a min(0, y), with a = 0.25 at the start; kernels are drawn from
    N(0, 2 / ((1 + a^2) fan_in)), those of the classifier from N(0, 1 / fan_in).

    Taps: `stem`, `stage1`, `stage2` (after the last PReLU of the stage), `pooled`,
    `logits`, `predictions`.

    Args:
        filters: channels of the first convolution; the paper has 64.
        shared: `"channel"` for one slope a channel, `"all"` for one slope a layer.
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
        ValueError: for wrong filters or sharing, an image that is too small, or weights
            that do not fit.

    Example:

    ```python
    import numpy as np
    from kzoo.applications import PReLUNet

    model = PReLUNet(filters=8, input_shape=(16, 16, 3))
    assert model(np.zeros((2, 16, 16, 3), "float32")).shape == (2, 10)
    ```

    The paper's model has 14 layers with weights and takes images of 224x224. It differs
    from this one in the first convolution (7x7, stride 2), in its first pooling (3x3,
    stride 3), and in its end: spatial pyramid pooling and two dense layers of 4096 units
    with dropout before the classifier. The convolutions between are the same with
    `filters=64`, so this network has 12 layers with weights. The 2x2 convolutions pad at
    the lower and right border to keep the size of the map. Slopes must have no weight
    decay: leave variables called `negative_slope` out of it.
    """
    if not isinstance(filters, int) or filters < 1:
        raise ValueError(f"`filters` must be a positive integer. Received: filters={filters!r}")
    x, inputs = _common.image_input(
        input_shape,
        input_tensor,
        default_shape=(32, 32, 3),
        min_size=8,
        include_top=include_top,
    )
    x = _conv(x, filters, 3, shared, "stem_conv", "stem")
    for stage, layers in enumerate(_LAYERS, start=1):
        x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
        for i in range(1, layers + 1):
            end = f"stage{stage}" if i == layers else f"stage{stage}_prelu{i}"
            x = _conv(x, filters * 2**stage, 2, shared, f"stage{stage}_conv{i}", end)
    x = _common.attach_top(
        x,
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        kernel_initializer=HePReLU(negative_slope=1.0),
    )
    model = keras.Model(inputs, x, name=name)
    _common.load_weights(model, weights, name="PReLUNet")
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


def _conv(x, filters, kernel_size, shared, name, end):
    x = keras.layers.Conv2D(
        filters, kernel_size, padding="same", kernel_initializer=HePReLU(), name=name
    )(x)
    return PReLU(shared, data_format="channels_last", name=end)(x)
