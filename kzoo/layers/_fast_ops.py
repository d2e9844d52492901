"""Training-time forms of convolution and batch normalisation that are exact and cost less.

On TensorFlow's CPU kernels the backward pass of a convolution with few filters is several times
dearer than the matrix products it consists of. These functions write the same sums as such
products. Elsewhere (JAX, torch, a GPU, half precision) they are the plain `keras.ops`.
"""

import keras
from keras import ops


def convolve(x, kernel):
    """Convolution with stride 1, padding "same" and an odd square kernel."""
    kernel = ops.cast(kernel, x.dtype)
    if not _tensorflow_on_cpu() or x.dtype not in ("float32", "float64"):
        return ops.conv(x, kernel, padding="same", data_format="channels_last")
    size, _, channels, filters = kernel.shape
    if size == 1:
        flat = ops.matmul(ops.reshape(x, (-1, channels)), kernel[0, 0])
        return ops.reshape(flat, (*_sizes(x), filters))
    if filters > channels:
        return ops.conv(x, kernel, padding="same", data_format="channels_last")
    return _narrow_convolution()(x, kernel)


def batch_normalize(x, gamma, beta, epsilon):
    """Batch normalisation by the batch's own moments over all axes but the last.

    Args:
        x: `(batch, ..., channels)`; half precision is normalised in float32.
        gamma: scale `(channels,)`.
        beta: shift `(channels,)`.
        epsilon: added to the variance.

    Returns:
        `(y, mean, variance)`; `y` has the dtype of `x`, the (biased) moments are
        at least float32.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    wide = keras.backend.result_type(dtype, "float32")
    gamma, beta = ops.cast(gamma, wide), ops.cast(beta, wide)
    if _tensorflow_on_cpu() and dtype != "float64" and len(x.shape) == 4:
        return _fused_batch_normalize(x, gamma, beta, epsilon)
    x = ops.cast(x, wide)
    mean, variance = ops.moments(x, axes=list(range(len(x.shape) - 1)))
    scale = gamma * ops.rsqrt(variance + epsilon)
    return ops.cast((x - mean) * scale + beta, dtype), mean, variance


def _fused_batch_normalize(x, gamma, beta, epsilon):
    import tensorflow as tf

    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    # The kernel returns the unbiased variance; Keras keeps the biased one.
    count = tf.cast(tf.size(x) // x.shape[-1], variance.dtype)
    return y, mean, variance - variance / count


def _narrow_convolution():
    """Convolution whose gradients are two matrix products on the shifted output gradient."""
    import tensorflow as tf

    @tf.custom_gradient
    def convolution(x, kernel):
        size, _, channels, filters = kernel.shape
        taps = size * size

        def gradient(upstream):
            shifted = tf.reshape(_shifts(upstream, size), (-1, taps * filters))
            turned = tf.reverse(kernel, [0, 1])
            matrix = tf.reshape(tf.transpose(turned, (0, 1, 3, 2)), (taps * filters, channels))
            by_x = tf.reshape(tf.matmul(shifted, matrix), tf.shape(x))
            by_kernel = tf.matmul(tf.reshape(x, (-1, channels)), shifted, transpose_a=True)
            by_kernel = tf.reshape(by_kernel, (channels, size, size, filters))
            return by_x, tf.reverse(tf.transpose(by_kernel, (1, 2, 0, 3)), [0, 1])

        return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient

    return convolution


def _shifts(x, size):
    """Every shift of `x` under a kernel window, zeros outside, side by side in the channels."""
    import tensorflow as tf

    margin = size // 2
    batch, height, width = _sizes(x)
    padded = tf.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    window = tf.stack((batch, height + 2 * margin, width, x.shape[-1]))
    columns = tf.concat([tf.slice(padded, (0, 0, j, 0), window) for j in range(size)], axis=-1)
    window = tf.stack((batch, height, width, size * x.shape[-1]))
    return tf.concat([tf.slice(columns, (0, i, 0, 0), window) for i in range(size)], axis=-1)


def _sizes(x):
    """Batch and spatial sizes, as numbers where they are known."""
    return tuple(ops.shape(x)[:-1])


def _tensorflow_on_cpu():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")
