"""What the highway layers share: all but the kind of their two children."""

import keras

from kzoo.layers._arguments import finite


class Highway(keras.Layer):
    """y = H(x) T(x) + x (1 - T(x)); the children H and T are of the class `child`.

    Args:
        activation: activation of the transform H.
        transform_bias: initial value of the gate's bias.
        kernel_initializer: for both kernels, which are drawn independently.
        kernel_regularizer: for both kernels.
        **kwargs: of the base layer.
    """

    child = keras.Layer

    def __init__(
        self, activation, transform_bias, kernel_initializer, kernel_regularizer, **kwargs
    ):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.transform_bias = finite(transform_bias, "transform_bias")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def child_arguments(self, input_shape):
        """What a child needs to keep the shape of `input_shape`."""
        raise NotImplementedError

    def build(self, input_shape):
        """Create transform and gate."""
        common = {
            **self.child_arguments(input_shape),
            "kernel_regularizer": self.kernel_regularizer,
            "dtype": self.dtype_policy,
        }
        self.transform = self.child(
            activation=self.activation,
            kernel_initializer=self.kernel_initializer,
            name="transform",
            **common,
        )
        self.gate = self.child(
            activation="sigmoid",
            kernel_initializer=_other_values(self.kernel_initializer),
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


def known(size, layer, input_shape):
    """`size`, the number of features; raise where it is unknown."""
    if size is None:
        raise ValueError(
            f"{layer} gives as many features as it gets, so it must know their number. "
            f"Give it in the input shape. Received: input_shape={input_shape}"
        )
    return size


def _other_values(initializer):
    """An initialiser like `initializer` that draws other values.

    A Keras initialiser gives the same values at every call, so transform and gate
    would start with equal kernels if they shared one.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    seed = config.get("seed")
    if isinstance(seed, dict):  # a SeedGenerator, which draws anew at each call
        return initializer
    if seed is not None:
        config["seed"] = seed + 1
    return type(initializer).from_config(config)
