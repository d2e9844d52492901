"""Dense block: every layer reads the maps of all layers before it."""

import keras

from kzoo.layers import _arguments
from kzoo.layers._preact_conv import (
    FusedNormalization,
    PreactConv2D,
    check_map_shape,
    join,
)
from kzoo.registry import register

_NORMALIZATIONS = ("per_layer", "shared")


@register(
    "layer",
    paper="arXiv:1608.06993",
    aliases=("dense block", "DenseNet block"),
    tiny={"args": {"num_layers": 2, "growth_rate": 3}, "input_shape": (2, 6, 6, 4)},
    training="statistics",
)
class DenseBlock(keras.layers.Layer):
    """Layers that each read the maps of the block's input and of all layers before them.

    Use it where a network must be small: each layer adds only `growth_rate` maps,
    because it can reuse every earlier one. `DenseTransition` stands between two
    blocks.

    Reference:
        Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional
        Networks", CVPR 2017, arXiv:1608.06993. The form `"shared"`: Schlüter,
        `densenet_fast.py` in Lasagne/Recipes, and Jung et al., "Restructuring Batch
        Normalization to Accelerate CNN Training", arXiv:1807.01702. Recomputation:
        Pleiss et al., "Memory-Efficient Implementation of DenseNets",
        arXiv:1707.06990.

    With [..] the concatenation along the channels:

        x_i = conv(relu(BN([x_0, ..., x_{i-1}]))),  i = 1 ... num_layers
        output = [x_0, ..., x_num_layers]

    where conv is a 3x3 convolution with `growth_rate` filters or, with `bottleneck`,
    a 1x1 convolution with `4 * growth_rate` filters, batch normalisation, ReLU and
    that 3x3 convolution. The first channels of the output are the input itself.

    Args:
        num_layers: number of layers.
        growth_rate: maps that each layer adds.
        bottleneck: reduce to `4 * growth_rate` maps before the 3x3 convolution.
        dropout_rate: rate of dropout after every convolution, in [0, 1).
        normalization: `"per_layer"`: each layer normalises all that it reads, as
            published; or `"shared"`: each map is normalised once, where it is made,
            and each layer scales and shifts it anew. The same functions and
            gradients, less work and fewer moving statistics.
        memory_efficient: in training, recompute concatenation, normalisation and
            ReLU in the backward pass instead of keeping them.
        momentum: momentum of the moving statistics.
        epsilon: added to each variance.
        seed: seed of the dropout noise.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: maps, channels last.
        training: normalise by the moments of the batch, update the moving
            statistics and apply dropout.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, channels + num_layers * growth_rate)`.

    Raises:
        ValueError: for an argument out of its range, or an input that is no map.

    Example:
        ```python
        import numpy as np
        from kzoo.layers import DenseBlock

        block = DenseBlock(num_layers=3, growth_rate=4, normalization="shared")
        maps = block(np.ones((2, 8, 8, 6), "float32"))
        assert maps.shape == (2, 8, 8, 6 + 3 * 4)
        ```

    Differences from the paper: none in the default form. Kernels start from an
    untruncated normal of variance 2 / (size^2 * filters), as in the published code.
    """

    def __init__(
        self,
        num_layers,
        growth_rate,
        bottleneck=True,
        dropout_rate=0.0,
        normalization="per_layer",
        memory_efficient=False,
        momentum=0.9,
        epsilon=1e-5,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_positive_integer("num_layers", num_layers)
        _check_positive_integer("growth_rate", growth_rate)
        _arguments.fraction(dropout_rate, "dropout_rate")
        if normalization not in _NORMALIZATIONS:
            raise ValueError(
                '`normalization` must be "per_layer" or "shared". '
                f"Received: normalization={normalization!r}"
            )
        self.num_layers = num_layers
        self.growth_rate = growth_rate
        self.bottleneck = bottleneck
        self.dropout_rate = dropout_rate
        self.normalization = normalization
        self.memory_efficient = memory_efficient
        self.momentum = momentum
        self.epsilon = epsilon
        self.seed = seed
        if dropout_rate > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Create the convolutions and normalisations of every layer."""
        check_map_shape(input_shape)
        shared = self.normalization == "shared"
        self.norms, self.convolutions = [], []
        for index in range(self.num_layers):
            channels = input_shape[-1] + index * self.growth_rate
            name = f"layer{index + 1}"
            if shared:
                made = self.growth_rate if index else input_shape[-1]
                self.norms.append(self._norm(made, f"{name}_input"))
            self.convolutions.extend(self._convolutions(channels, name, shared))

    def call(self, inputs, training=False):
        """Append the maps of every layer to the inputs."""
        maps, normalized = [inputs], []
        depth = len(self.convolutions) // self.num_layers
        for index in range(self.num_layers):
            if self.norms:
                normalized = self._keep(normalized, self.norms[index](maps[-1]))
                read = normalized
            else:
                read = maps
            for convolution in self.convolutions[index * depth : (index + 1) * depth]:
                read = [self._drop(convolution(read, training=training), training)]
            maps = [*maps, *read] if self.norms else self._keep(maps, read[0])
        return join(maps)

    def compute_output_shape(self, input_shape):
        """The input's shape with `num_layers * growth_rate` more channels."""
        check_map_shape(input_shape)
        added = self.num_layers * self.growth_rate
        return (*input_shape[:-1], input_shape[-1] + added)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "growth_rate": self.growth_rate,
            "bottleneck": self.bottleneck,
            "dropout_rate": self.dropout_rate,
            "normalization": self.normalization,
            "memory_efficient": self.memory_efficient,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "seed": self.seed,
        }

    def _keep(self, maps, new):
        """The maps that later layers read: joined at once, unless joining is recomputed."""
        return [*maps, new] if self.memory_efficient else [join([*maps, new])]

    def _drop(self, x, training):
        if training and self.dropout_rate > 0:
            return keras.random.dropout(x, self.dropout_rate, seed=self.seed_generator)
        return x

    def _norm(self, channels, name):
        norm = FusedNormalization(
            momentum=self.momentum,
            epsilon=self.epsilon,
            center=False,
            scale=False,
            dtype=self.dtype_policy,
            name=name,
        )
        norm.build((None, None, None, channels))
        return norm

    def _convolutions(self, channels, name, shared):
        """The one or two convolutions of a layer, built."""
        width = 4 * self.growth_rate
        plans = [(channels, self.growth_rate, 3, shared)]
        if self.bottleneck:
            plans = [(channels, width, 1, shared), (width, self.growth_rate, 3, False)]
        convolutions = []
        for number, (read, filters, size, normalized) in enumerate(plans, 1):
            convolution = PreactConv2D(
                filters,
                size,
                normalized=normalized,
                memory_efficient=self.memory_efficient and number == 1,
                momentum=self.momentum,
                epsilon=self.epsilon,
                dtype=self.dtype_policy,
                name=f"{name}_conv{number}",
            )
            convolution.build((None, None, None, read))
            convolutions.append(convolution)
        return convolutions


def _check_positive_integer(name, value):
    """Refuse what is no integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
