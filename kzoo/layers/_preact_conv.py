"""The unit that dense blocks and transitions are made of: normalise, ReLU, convolve."""

import keras
from keras import ops

from kzoo.layers._fast_ops import batch_normalize, convolve


class FusedNormalization(keras.layers.BatchNormalization):
    """Batch normalisation that trains with the backend's fused kernel where it has one."""

    def call(self, inputs, training=False):
        """Normalise; by the batch's moments when training."""
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        gamma, beta = self.scale_and_shift(inputs.shape[-1])
        outputs, mean, variance = batch_normalize(inputs, gamma, beta, self.epsilon)
        self.update(mean, variance)
        return outputs

    def scale_and_shift(self, channels):
        """Gamma and beta, or the constants that stand for them."""
        gamma = self.gamma if self.scale else ops.ones((channels,))
        return gamma, self.beta if self.center else ops.zeros((channels,))

    def update(self, mean, variance):
        """Move the statistics by one step towards the moments of a batch."""
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            step = ops.cast(ops.stop_gradient(value), moving.dtype) * (1.0 - self.momentum)
            moving.assign(moving * self.momentum + step)


class ScaleShift(keras.layers.Layer):
    """A scale and a shift per channel: what is left of a normalisation of normalised maps."""

    def build(self, input_shape):
        """Create gamma (ones) and beta (zeros)."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")

    def call(self, inputs):
        """Scale and shift."""
        return affine(inputs, self.gamma, self.beta)


class PreactConv2D(keras.layers.Layer):
    """Join maps, normalise, ReLU, perhaps average 2x2, convolve without bias.

    Args:
        filters: number of filters.
        kernel_size: 1 or 3.
        normalized: the maps are normalised already; only scale and shift them.
        pool: average 2x2 before the convolution.
        memory_efficient: recompute everything before the convolution in the
            backward pass.
        momentum: of the moving statistics.
        epsilon: added to the variance.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        *,
        normalized=False,
        pool=False,
        memory_efficient=False,
        momentum=0.9,
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.normalized = normalized
        self.pool = pool
        self.memory_efficient = memory_efficient
        if normalized:
            self.norm = ScaleShift(dtype=self.dtype_policy, name="norm")
        else:
            self.norm = FusedNormalization(
                momentum=momentum, epsilon=epsilon, dtype=self.dtype_policy, name="norm"
            )
        self.conv = keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            use_bias=False,
            kernel_initializer=he_fan_out(),
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="conv",
        )

    def build(self, input_shape):
        """Create the weights for maps that together have `input_shape`."""
        self.norm.build(input_shape)
        self.conv.build(input_shape)

    def call(self, maps, training=False):
        """Convolve a list of maps of equal size, joined along the channels."""
        if training and self.memory_efficient and self.norm.trainable:
            return self._recomputed(maps)
        x = self._finish(self.norm(join(maps)))
        if training:
            return convolve(x, self.conv.kernel)
        return self.conv(x)

    def _recomputed(self, maps):
        """The training call; its body is a pure function, so that statistics move only once."""
        weights = (self.norm.gamma, self.norm.beta, self.conv.kernel)
        # `cast` makes tensors of them: of a variable that is an argument, TensorFlow's
        # recomputation counts the gradient twice. `convert_to_tensor` would return the variable.
        weights = [ops.cast(weight, weight.dtype) for weight in weights]
        if self.normalized:
            return keras.remat(self._affine_body)(*weights, *maps)
        y, mean, variance = keras.remat(self._batch_body)(*weights, *maps)
        self.norm.update(mean, variance)
        return y

    def _affine_body(self, gamma, beta, kernel, *maps):
        return convolve(self._finish(affine(join(maps), gamma, beta)), kernel)

    def _batch_body(self, gamma, beta, kernel, *maps):
        x, mean, variance = batch_normalize(join(maps), gamma, beta, self.norm.epsilon)
        return convolve(self._finish(x), kernel), mean, variance

    def _finish(self, x):
        x = ops.relu(x)
        return ops.average_pool(x, (2, 2), (2, 2), data_format="channels_last") if self.pool else x


def he_fan_out():
    """Untruncated normal of variance 2 / (size^2 * filters), as the published models start."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def affine(x, gamma, beta):
    """Scale and shift each channel of `x`, in its dtype."""
    return x * ops.cast(gamma, x.dtype) + ops.cast(beta, x.dtype)


def join(maps):
    """The maps side by side in the channels."""
    return maps[0] if len(maps) == 1 else ops.concatenate(maps, axis=-1)


def check_map_shape(shape):
    """Refuse what is no map with a known number of channels."""
    if len(shape) != 4 or shape[-1] is None:
        raise ValueError(
            "The input must have the shape (batch, height, width, channels) with a known number "
            f"of channels. Received: shape {tuple(shape)}"
        )
