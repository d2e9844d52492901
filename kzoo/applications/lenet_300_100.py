"""LeNet-300-100, the dense network of the pruning literature."""

import keras

from kzoo.applications import _common
from kzoo.applications._common import decode_predictions
from kzoo.registry import register

__all__ = ["LeNet300100", "decode_predictions", "preprocess_input"]

_UNITS = (300, 100)


@register(
    "application",
    paper="10.1109/5.726791",
    aliases=("LeNet-300-100",),
    tiny={"args": {}, "input_shape": (8, 8, 1)},
    parameters=[({}, 266_610)],
    stages=len(_UNITS),
    min_size=1,
)
def LeNet300100(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="lenet_300_100",
):
    """The dense network LeNet-300-100: hidden layers of 300 and 100 units.

    Use it as the smallest common subject of pruning and of lottery tickets. It
    consists of built-in Keras layers only, so its `.keras` file loads without kzoo.

    Reference:
        Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner. Gradient-Based Learning
        Applied to Document Recognition. Proceedings of the IEEE 86 (11), 1998.
        Set up as in Jonathan Frankle, Michael Carbin. The Lottery Ticket Hypothesis:
        Finding Sparse, Trainable Neural Networks. ICLR 2019. arXiv:1803.03635.

    y = softmax(W3 relu(W2 relu(W1 x + b1) + b2) + b3), with x the flattened image. Kernels
    start from the Glorot normal distribution, biases at zero.

    Taps: `stage1` and `stage2` are the hidden layers after their ReLU. They are vectors.
    `pooled` is the vector that the classifier reads, so it equals `stage2`: this network
    has no global pooling. There is no `stem`. Then `logits`, `predictions`.

    Args:
        include_top: whether to end with the classifier. Without it the model ends with
            the vector `pooled`.
        weights: `None`, the name of a recorded run or the path of a `.weights.h5` file.
        input_tensor: a `KerasTensor` to build on.
        input_shape: `(height, width, channels)`; `(28, 28, 1)` by default.
        pooling: `None`, `"avg"` or `"max"`; without effect, because there is no map.
        classes: number of classes.
        classifier_activation: activation of the last layer; `None` gives logits.
        name: name of the model.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: for an open height or width, or weights that do not fit.

    Example:

    ```python
    import numpy as np
    from kzoo.applications import LeNet300100

    model = LeNet300100()
    assert model(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert model.count_params() == 266_610
    ```

    The network of 1998 has scaled tanh units; this one has ReLU, as in the pruning
    literature.
    """
    top = {"classes": classes, "classifier_activation": classifier_activation}
    _common.check_top(pooling=pooling, **top)
    x, inputs = _common.image_input(
        input_shape,
        input_tensor,
        default_shape=(28, 28, 1),
        min_size=1,
        include_top=include_top,
        static=True,
    )
    x = keras.layers.Flatten(name="flatten")(x)
    for stage, units in enumerate(_UNITS, start=1):
        x = keras.layers.Dense(units, kernel_initializer="glorot_normal", name=f"hidden{stage}")(x)
        x = keras.layers.Activation("relu", name=f"stage{stage}")(x)
    x = keras.layers.Identity(name="pooled")(x)
    if include_top:
        x = _common.classify(x, **top, kernel_initializer="glorot_normal")
    model = keras.Model(inputs, x, name=name)
    _common.load_weights(model, weights, name="LeNet300100")
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
