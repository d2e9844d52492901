"""HighwayDense: a dense layer with a learned bypass."""

import keras

from kzoo.layers._highway import Highway, known
from kzoo.registry import register


@register(
    "layer",
    paper="arXiv:1505.00387",
    aliases=("Highway",),
    tiny={"args": {}, "input_shape": (3, 6)},
    rank=2,
)
class HighwayDense(Highway):
    """Dense layer that learns, per unit, how much of its input to carry on unchanged.

    Use it to train very deep stacks of dense layers. It keeps the number of features;
    change that number with a plain `Dense` before the stack.

    Reference:
        Srivastava, Greff, Schmidhuber. "Highway Networks". ICML Deep Learning Workshop
        2015. arXiv:1505.00387.

    y = H(x) T(x) + x (1 - T(x)), with H(x) = activation(W x + b) and the transform gate
    T(x) = sigmoid(W_T x + b_T). A negative `b_T` makes the layer start near the
    identity: at -1 the gates start around 0.27. Training and inference are the same.

    Args:
        activation: activation of the transform H.
        transform_bias: initial value of the gate's bias b_T.
        kernel_initializer: for both kernels, which are drawn independently.
        kernel_regularizer: for both kernels; biases have none.
        **kwargs: of the base layer, such as `name` and `dtype`.

    Call arguments:
        inputs: a tensor of rank 2 or more.

    Input shape:
        `(batch, features)`, or any rank with the features last.

    Output shape:
        The same as the input.

    Raises:
        ValueError: for a bias that is not a finite number, or unknown features.

    Example:

    ```python
    import keras
    import kzoo

    inputs = keras.Input((784,))
    x = keras.layers.Dense(50, activation="relu")(inputs)
    for _ in range(10):
        x = kzoo.layers.HighwayDense()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    ```
    """

    child = keras.layers.Dense

    def __init__(
        self,
        activation="relu",
        transform_bias=-1.0,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            activation, transform_bias, kernel_initializer, kernel_regularizer, **kwargs
        )

    def child_arguments(self, input_shape):
        """Those of a dense layer of the same width."""
        return {"units": known(input_shape[-1], "HighwayDense", input_shape)}
