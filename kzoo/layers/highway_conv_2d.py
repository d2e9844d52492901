"""HighwayConv2D: a convolution with a learned bypass."""

import keras

from kzoo.layers._arguments import data_format as checked_data_format
from kzoo.layers._arguments import pair
from kzoo.layers._highway import Highway, known
from kzoo.registry import register


@register(
    "layer",
    paper="arXiv:1505.00387",
    aliases=("HighwayConv",),
    tiny={"args": {"kernel_size": 3}, "input_shape": (2, 8, 8, 4)},
)
class HighwayConv2D(Highway):
    """Convolution that learns, per position and channel, how much input to carry on.

    Use it to train very deep convolutional stacks without residual sums. It keeps the
    size of the maps and the number of channels; change them with plain layers between.

    Reference:
        Srivastava, Greff, Schmidhuber. "Highway Networks". ICML Deep Learning Workshop
        2015. arXiv:1505.00387.

    y = H(x) T(x) + x (1 - T(x)), with H(x) = activation(W * x + b) and the transform
    gate T(x) = sigmoid(W_T * x + b_T); both convolutions have the same kernel size,
    stride 1 and zero padding. A negative `b_T` makes the layer start near the identity:
    at -2 the gates start around 0.12. Training and inference are the same.

    Args:
        kernel_size: an integer or two, height and width.
        activation: activation of the transform H.
        transform_bias: initial value of the gate's bias b_T.
        kernel_initializer: for both kernels, which are drawn independently.
        kernel_regularizer: for both kernels; biases have none.
        data_format: `"channels_last"` or `"channels_first"`; Keras' setting by default.
        **kwargs: of the base layer, such as `name` and `dtype`.

    Call arguments:
        inputs: a tensor of rank 4.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        The same as the input.

    Raises:
        ValueError: for a kernel size that is not positive, a bias that is not a finite
            number, or unknown channels.

    Example:

    ```python
    import keras
    import kzoo

    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    for _ in range(3):
        x = kzoo.layers.HighwayConv2D(3)(x)
    model = keras.Model(inputs, x)
    ```
    """

    child = keras.layers.Conv2D

    def __init__(
        self,
        kernel_size,
        activation="relu",
        transform_bias=-2.0,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            activation, transform_bias, kernel_initializer, kernel_regularizer, **kwargs
        )
        pair(kernel_size, "kernel_size")
        self.kernel_size = kernel_size
        self.data_format = checked_data_format(data_format)

    def child_arguments(self, input_shape):
        """Those of a convolution of the same size."""
        axis = 1 if self.data_format == "channels_first" else -1
        return {
            "filters": known(input_shape[axis], "HighwayConv2D", input_shape),
            "kernel_size": self.kernel_size,
            "padding": "same",
            "data_format": self.data_format,
        }

    def get_config(self):
        """The constructor's arguments."""
        own = {"kernel_size": self.kernel_size, "data_format": self.data_format}
        return {**super().get_config(), **own}
