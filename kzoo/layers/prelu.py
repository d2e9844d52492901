"""PReLU: a rectifier whose slope for negative inputs is learned."""

import keras
from keras import ops

from kzoo.layers._arguments import data_format as checked_data_format
from kzoo.registry import register

_INITIAL_SLOPE = 0.25


@register(
    "layer",
    paper="arXiv:1502.01852",
    tiny={"args": {"shared": "channel"}, "input_shape": (2, 8, 8, 4)},
)
class PReLU(keras.Layer):
    """Parametric ReLU with one learned slope a channel, or one a layer.

    Use it in place of ReLU; it adds almost no parameters. Initialise the kernels
    before it with `kzoo.initializers.HePReLU`. Keras' layer of the same name starts at
    slope 0 and by default learns a slope for each pixel; this one is the paper's.

    Reference:
        He, Zhang, Ren, Sun. "Delving Deep into Rectifiers: Surpassing Human-Level
        Performance on ImageNet Classification". ICCV 2015. arXiv:1502.01852.

    f(x) = x where x > 0, and a x elsewhere. The slope a starts at 0.25. It has no
    constraint, so it may turn negative, and no regulariser, because decay pushes it to
    0, which is ReLU. An optimiser with decoupled `weight_decay` decays every variable it
    is given: take the slopes out by their name before training,

        optimizer.exclude_from_weight_decay(var_names=["negative_slope"])

    A later call of that method replaces an earlier one, so name all exclusions at once.

    Args:
        shared: `"channel"` for one slope a channel, of shape `(1, 1, channels)` for maps
            and `(channels,)` for vectors, or `"all"` for one scalar.
        data_format: `"channels_last"` or `"channels_first"`; Keras' setting by default.
        **kwargs: of the base layer, such as `name` and `dtype`.

    Call arguments:
        inputs: a tensor of rank 2 or more.

    Input shape:
        `(batch, height, width, channels)`, or any rank from `(batch, channels)`.

    Output shape:
        The same as the input.

    Raises:
        ValueError: for an unknown `shared`, or where the channels are unknown.

    Example:

    ```python
    import keras
    import kzoo

    layer = kzoo.layers.PReLU()
    y = layer(keras.ops.array([[-4.0, 2.0]]))  # [[-1.0, 2.0]]
    ```
    """

    def __init__(self, shared="channel", data_format=None, **kwargs):
        super().__init__(**kwargs)
        if shared not in ("channel", "all"):
            raise ValueError(f'`shared` must be "channel" or "all". Received: shared={shared!r}')
        self.shared = shared
        self.data_format = checked_data_format(data_format)
        self.supports_masking = True

    def build(self, input_shape):
        """Create the slope."""
        self.negative_slope = self.add_weight(
            name="negative_slope",
            shape=self._slope_shape(input_shape),
            initializer=keras.initializers.Constant(_INITIAL_SLOPE),
        )

    def call(self, inputs):
        """Scale the negative inputs."""
        return ops.where(inputs > 0, inputs, self.negative_slope * inputs)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "shared": self.shared, "data_format": self.data_format}

    def _slope_shape(self, input_shape):
        if self.shared == "all":
            return ()
        first = self.data_format == "channels_first"
        channels = input_shape[1 if first else -1]
        if channels is None:
            raise ValueError(
                '`PReLU(shared="channel")` needs a known number of channels; give it in the '
                f'input shape or pass shared="all". Received: input_shape={input_shape}'
            )
        ones = (1,) * (len(input_shape) - 2)
        return (channels, *ones) if first else (*ones, channels)
