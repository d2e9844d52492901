"""DropBlock2D: drops contiguous regions of feature maps."""

import keras
from keras import ops

from kzoo.layers._arguments import data_format as checked_data_format
from kzoo.layers._arguments import fraction, pair
from kzoo.layers._noise import happens
from kzoo.registry import register


@register(
    "layer",
    paper="arXiv:1810.12890",
    aliases=("DropBlock",),
    tiny={"args": {"rate": 0.2, "block_size": 3, "seed": 1}, "input_shape": (2, 8, 8, 4)},
    training="noise",
)
class DropBlock2D(keras.Layer):
    """Dropout of square regions, for convolutional feature maps.

    Use it after convolutions (and on shortcuts) of the last stages, where plain dropout
    does little because neighbours carry the same information. The paper raises the
    rate linearly from 0 during training: set `layer.rate` between steps or epochs.

    Reference:
        Ghiasi, Lin, Le. "DropBlock: A regularization method for convolutional
        networks". NeurIPS 2018. arXiv:1810.12890.

    In training, blocks of b_h x b_w are set to zero. A block starts at each position
    where it fits whole, independently with probability

        gamma = rate H W / (b_h b_w (H - b_h + 1) (W - b_w + 1)),

    and what is kept is multiplied by size / (number kept), counted over the whole batch,
    so that the mean of the mask is exactly 1. The position (i, j) is dropped with
    probability 1 - (1 - gamma)^(a_i c_j), where a_i and c_j count the block positions
    that cover row i and column j: less at the borders than in the middle. Because blocks
    overlap, a little less than `rate` is dropped on average. Block size 1 is dropout; a
    block as large as the map drops whole channels. Inference: the identity.

    `rate` can be assigned at any time, also between the steps of a compiled model, which
    is not traced anew:

        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(layer, "rate", 0.1 * epoch / 10))

    On JAX `fit` holds the state during an epoch: call `model.jax_state_sync()` before
    assigning within one. The rate is a setting, not knowledge: the current value is kept
    in the configuration, hence in `.keras` files, and left out of weight files, so
    loading weights never changes it.

    Args:
        rate: fraction to drop, in [0, 1); the paper's 1 - keep_prob.
        block_size: height and width of a block, an integer or two. Each is clipped to
            the size of the map.
        per_channel: whether each channel has its own blocks, which works better than
            sharing them.
        seed: an integer or `None`.
        data_format: `"channels_last"` or `"channels_first"`; Keras' setting by default.
        **kwargs: of the base layer, such as `name` and `dtype`.

    Call arguments:
        inputs: a tensor of rank 4.
        training: whether to drop.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The same as the input.

    Raises:
        ValueError: for a rate outside [0, 1) or a block size that is not positive.

    Example:

    ```python
    import keras
    import kzoo

    layer = kzoo.layers.DropBlock2D(0.0, block_size=3)
    y = layer(keras.ops.ones((2, 14, 10, 8)), training=True)
    layer.rate = 0.1
    ```
    """

    def __init__(self, rate, block_size=7, per_channel=True, seed=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._rate_variable = None
        self._rate = fraction(rate)
        self._block = pair(block_size, "block_size")
        self.block_size = block_size
        self.per_channel = per_channel
        self.seed = seed
        self.data_format = checked_data_format(data_format)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.supports_masking = True

    @property
    def rate(self):
        """The fraction to drop; may be assigned between steps."""
        if self._rate_variable is not None:
            current = float(ops.convert_to_numpy(self._rate_variable.value))
            if abs(current - self._rate) > 1e-6:  # assigned to the variable itself
                return current
        return self._rate

    @rate.setter
    def rate(self, value):
        self._rate = fraction(value)
        if self._rate_variable is not None:
            self._rate_variable.assign(self._rate)

    def build(self, input_shape):
        """Create the variable that holds the rate."""
        self._rate_variable = self.add_weight(
            name="rate",
            shape=(),
            initializer=keras.initializers.Constant(self._rate),
            trainable=False,
            autocast=False,
            dtype="float32",
        )

    def call(self, inputs, training=None):
        """Drop blocks when training and scale up what is kept."""
        if not training:
            return inputs
        keep = ops.logical_not(self._dropped(inputs))
        kept = ops.maximum(ops.sum(ops.cast(keep, "int32")), 1)  # float32 stops at 2^24
        scale = ops.cast(ops.size(keep), "float32") / ops.cast(kept, "float32")
        return inputs * ops.cast(ops.cast(keep, "float32") * scale, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The constructor's arguments, with the current rate."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "block_size": self.block_size,
            "per_channel": self.per_channel,
            "seed": self.seed,
            "data_format": self.data_format,
        }

    def save_own_variables(self, store):
        """Nothing: the rate belongs to the configuration."""

    def load_own_variables(self, store):
        """Nothing: the rate belongs to the configuration."""

    def _dropped(self, inputs):
        """Booleans: whether a block covers the position."""
        batch, *sizes = ops.shape(inputs)
        first = self.data_format == "channels_first"
        channels = sizes.pop(0 if first else -1)
        height, width = (
            _Extent(size, block) for size, block in zip(sizes, self._block, strict=True)
        )
        gamma = self._rate_variable.value * height.correction * width.correction
        shape = (batch, height.starts, width.starts, channels if self.per_channel else 1)
        mask = happens(shape, gamma, self.seed_generator)
        mask = width.spread(height.spread(mask, axis=1), axis=2)
        return ops.transpose(mask, (0, 3, 1, 2)) if first else mask


class _Extent:
    """Blocks along one dimension of the map, whose size may be a tensor.

    Attributes:
        starts: the number of positions where a whole block fits.
        correction: the factor of gamma that belongs to this dimension.
    """

    def __init__(self, size, block):
        known = isinstance(size, int)
        self.size = size
        self.block = min(block, size) if known else block
        self.starts = max(size - block, 0) + 1 if known else ops.maximum(size - block, 0) + 1
        clipped = self.block if known else ops.minimum(block, size)
        covered = ops.cast(clipped * self.starts, "float32")
        self.correction = ops.cast(size, "float32") / covered

    def spread(self, starts, axis):
        """Mark all positions of the blocks that start where `starts` is true.

        The maximum over a window is built by doubling the window, which is far
        cheaper than max-pooling.
        """
        padding = [(0, 0)] * 4
        padding[axis] = (self.block - 1, self.block - 1)
        mask = ops.pad(starts, padding, constant_values=False)
        window = 1
        while window < self.block:
            step = min(window, self.block - window)
            late, early = _along(axis, slice(step, None)), _along(axis, slice(None, -step))
            mask = ops.logical_or(mask[late], mask[early])
            window += step
        return mask[_along(axis, slice(self.size))]


def _along(axis, part):
    return (slice(None),) * axis + (part,)
