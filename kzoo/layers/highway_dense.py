"""HighwayDense: a dense layer with a learned bypass."""

import keras

from kzoo.layers._arguments import finite
from kzoo.layers._highway import channels_of, gate_initializer
from kzoo.registry import register


@register(
    "layer",
    paper="arXiv:1505.00387",
    aliases=("Highway",),
    tiny={"args": {}, "input_shape": (3, 6)},
    rank=2,
)
class HighwayDense(keras.Layer):
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

    def __init__(
        self,
        activation="relu",
        transform_bias=-1.0,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.transform_bias = finite(transform_bias, "transform_bias")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        """Create transform and gate."""
        common = {
            "units": channels_of(input_shape, -1, "HighwayDense"),
            "kernel_regularizer": self.kernel_regularizer,
            "dtype": self.dtype_policy,
        }
        self.transform = keras.layers.Dense(
            activation=self.activation,
            kernel_initializer=self.kernel_initializer,
            name="transform",
            **common,
        )
        self.gate = keras.layers.Dense(
            activation="sigmoid",
            kernel_initializer=gate_initializer(self.kernel_initializer),
            bias_initializer=keras.initializers.Constant(self.transform_bias),
            name="gate",
            **common,
        )
        self.transform.build(input_shape)
        self.gate.build(input_shape)

    def call(self, inputs):
        """Mix the transformed and the unchanged input."""
        gate = self.gate(inputs)
        return self.transform(inputs) * gate + inputs * (1 - gate)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "transform_bias": self.transform_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
