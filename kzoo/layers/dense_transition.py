"""Transition between two dense blocks: fewer maps, half the size."""

import math

import keras

from kzoo.layers import _arguments
from kzoo.layers._preact_conv import PreactConv2D, check_map_shape
from kzoo.registry import register


@register(
    "layer",
    paper="arXiv:1608.06993",
    aliases=("transition layer",),
    tiny={"args": {"reduction": 0.5}, "input_shape": (2, 6, 6, 4)},
    training="statistics",
)
class DenseTransition(keras.layers.Layer):
    """Batch normalisation, ReLU, 1x1 convolution to fewer maps, 2x2 average pooling.

    Use it between two `DenseBlock`s: a block can only add maps and never changes
    their size.

    Reference:
        Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional
        Networks", CVPR 2017, arXiv:1608.06993.

        output = pool(dropout(conv(relu(BN(x))))),  floor(reduction * channels) filters

    A 1x1 convolution and average pooling commute, so without dropout the maps are
    pooled first: the same result for a quarter of the multiplications.

    Args:
        reduction: share of the maps that is kept, in (0, 1]; 1 is no compression.
        dropout_rate: rate of dropout after the convolution, in [0, 1).
        memory_efficient: in training, recompute normalisation and ReLU in the backward
            pass instead of keeping them.
        momentum: momentum of the moving statistics.
        epsilon: added to the variance.
        seed: seed of the dropout noise.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: maps, channels last.
        training: normalise by the moments of the batch, update the moving
            statistics and apply dropout.

    Input shape:
        `(batch, height, width, channels)`, height and width at least 2.

    Output shape:
        `(batch, height // 2, width // 2, floor(reduction * channels))`.

    Raises:
        ValueError: for an argument out of its range, or an input that is no map or
            too small.

    Example:
        ```python
        import numpy as np
        from kzoo.layers import DenseTransition

        maps = DenseTransition(reduction=0.5)(np.ones((2, 8, 8, 10), "float32"))
        assert maps.shape == (2, 4, 4, 5)
        ```

    Differences from the paper: the order of pooling and convolution, see above.
    """

    def __init__(
        self,
        reduction=0.5,
        dropout_rate=0.0,
        memory_efficient=False,
        momentum=0.9,
        epsilon=1e-5,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 < reduction <= 1:
            raise ValueError(f"`reduction` must be in (0, 1]. Received: reduction={reduction}")
        _arguments.fraction(dropout_rate, "dropout_rate")
        self.reduction = reduction
        self.dropout_rate = dropout_rate
        self.memory_efficient = memory_efficient
        self.momentum = momentum
        self.epsilon = epsilon
        self.seed = seed
        if dropout_rate > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Create the normalisation and the convolution."""
        filters = self.compute_output_shape(input_shape)[-1]
        self.conv = PreactConv2D(
            filters,
            1,
            pool=self.dropout_rate == 0,
            memory_efficient=self.memory_efficient,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype_policy,
            name="conv",
        )
        self.conv.build((None, None, None, input_shape[-1]))

    def call(self, inputs, training=False):
        """Reduce the maps and their size."""
        x = self.conv([inputs], training=training)
        if self.dropout_rate == 0:
            return x
        if training:
            x = keras.random.dropout(x, self.dropout_rate, seed=self.seed_generator)
        return keras.ops.average_pool(x, (2, 2), (2, 2), data_format="channels_last")

    def compute_output_shape(self, input_shape):
        """Half the height and width, `floor(reduction * channels)` channels."""
        check_map_shape(input_shape)
        batch, *sizes, channels = input_shape
        if any(size is not None and size < 2 for size in sizes):
            raise ValueError(
                "A transition halves height and width, so both must be at least 2. "
                f"Received: shape {tuple(input_shape)}"
            )
        # 0.29 * 100 is 28.999999999999996 in binary; the product means 29.
        filters = math.floor(self.reduction * channels + 1e-9)
        if filters < 1:
            raise ValueError(
                f"`reduction` {self.reduction} leaves no map of {channels}. Use a larger value."
            )
        return (batch, *(size and size // 2 for size in sizes), filters)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "dropout_rate": self.dropout_rate,
            "memory_efficient": self.memory_efficient,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "seed": self.seed,
        }
