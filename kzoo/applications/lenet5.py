"""LeNet-5, the convolutional network for handwritten digits."""

import keras

from kzoo.applications import _common
from kzoo.applications._common import decode_predictions
from kzoo.registry import register

__all__ = ["LeNet5", "decode_predictions", "preprocess_input"]

_FIELD = 32
_BACKGROUND, _INK = -0.1, 1.175


@register(
    "application",
    paper="10.1109/5.726791",
    aliases=("LeNet", "LeNet-5"),
    tiny={"args": {}, "input_shape": (12, 12, 1)},
    parameters=[
        ({}, 61_706),
        ({"input_shape": (28, 28, 1)}, 61_706),
    ],
    stages=2,
    min_size=12,
)
def LeNet5(
    activation="tanh",
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="lenet5",
):
    """The convolutional network LeNet-5.

    Use it for digits and other small grey images, where a few seconds of training
    must do, and as the standard subject of pruning. It consists of built-in Keras
    layers only, so its `.keras` file loads without kzoo.

    Reference:
        Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner. Gradient-Based Learning
        Applied to Document Recognition. Proceedings of the IEEE 86 (11), 1998.

    The layers have the paper's names: convolution `c1` (6 maps, 5x5), subsampling `s2`,
    convolution `c3` (16 maps, 5x5), subsampling `s4`, then dense layers `c5` (120
    units), `f6` (84 units) and `logits`.

    Taps: `stage1` and `stage2` are the maps of `c1` and `c3` after their activation,
    before the subsampling. `pooled` is the vector that the classifier reads, the 84
    units of `f6` after their activation: this network has no global pooling. There is
    no `stem`. Then `logits`, `predictions`.

    Args:
        activation: activation of all hidden layers.
        include_top: whether to end with the dense layers and the classifier. Without
            them the model ends with the map of `s4`.
        weights: `None`, the name of a recorded run or the path of a `.weights.h5` file.
        input_tensor: a `KerasTensor` to build on.
        input_shape: `(height, width, channels)`; `(32, 32, 1)` by default. Height and
            width are at least 12; without the top they may be `None`.
        pooling: without the top: `None` for the last map, `"avg"` or `"max"`.
        classes: number of classes.
        classifier_activation: activation of the last layer; `None` gives logits.
        name: name of the model.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: for an image that is too small, an open height or width with the
            top, or weights that do not fit.

    Example:

    ```python
    import numpy as np
    from kzoo.applications import LeNet5

    model = LeNet5(input_shape=(28, 28, 1))
    assert model(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert model.count_params() == 61_706
    ```

    The paper centres its 28x28 digits in a field of 32x32. Here an image with a height
    or width below 32 gets that margin of two pixels in `c1` (`padding="same"`), so 28x28
    has the same maps and as many parameters as 32x32. Where we differ from the paper:
    `c3` sees all maps of `s2` instead of chosen ones; the subsampling is a plain average
    without trained factors; the activation is tanh without scale; the output is a
    softmax instead of radial basis functions; kernels start as `glorot_uniform`.
    """
    keras.activations.get(activation)
    x, inputs = _common.image_input(
        input_shape,
        input_tensor,
        default_shape=(32, 32, 1),
        min_size=12,
        include_top=include_top,
        static=include_top,
    )
    small = any(size is not None and size < _FIELD for size in x.shape[1:3])
    x = keras.layers.Conv2D(6, 5, padding="same" if small else "valid", name="c1")(x)
    x = keras.layers.Activation(activation, name="stage1")(x)
    x = keras.layers.AveragePooling2D(2, name="s2")(x)
    x = keras.layers.Conv2D(16, 5, name="c3")(x)
    x = keras.layers.Activation(activation, name="stage2")(x)
    x = keras.layers.AveragePooling2D(2, name="s4")(x)
    top = {"classes": classes, "classifier_activation": classifier_activation}
    if include_top:
        _common.check_top(pooling=pooling, **top)
        x = _common.classify(_hidden(x, activation), **top)
    else:
        x = _common.attach_top(x, include_top=False, pooling=pooling, **top)
    model = keras.Model(inputs, x, name=name)
    _common.load_weights(model, weights, name="LeNet5")
    return model


def preprocess_input(x, mean=_BACKGROUND / (_BACKGROUND - _INK), std=1 / (_INK - _BACKGROUND)):
    """Images of [0, 255] to the paper's range: 0 becomes -0.1, 255 becomes 1.175.

    Args:
        x: array or tensor `(..., height, width, channels)`; it is not changed.
        mean: subtracted after scaling to [0, 1]; one number, or one a channel. For
            weights that were recorded by kzoo give `dataset.spec.mean`.
        std: then divided by; one number, or one a channel.
    """
    return _common.preprocess(x, mean, std)


def _hidden(x, activation):
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(120, name="c5")(x)
    x = keras.layers.Activation(activation, name="c5_activation")(x)
    x = keras.layers.Dense(84, name="f6")(x)
    return keras.layers.Activation(activation, name="pooled")(x)
