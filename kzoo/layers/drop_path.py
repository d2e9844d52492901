"""DropPath: drops the residual branch for single samples."""

import keras
from keras import ops

from kzoo.layers._arguments import fraction
from kzoo.layers._noise import inverted_mask
from kzoo.registry import register


@register(
    "layer",
    paper="arXiv:1605.07648",
    tiny={"args": {"rate": 0.25, "seed": 1}, "input_shape": (4, 6, 6, 3)},
    training="noise",
)
class DropPath(keras.Layer):
    """Sets whole samples to zero at random and scales the others up.

    Use it on the residual branch, just before the sum: `x + DropPath(0.1)(f(x))`. Each
    sample skips the branch on its own. For one draw for the whole batch, or for the
    scaling of the original paper, use `StochasticDepth`.

    Reference:
        Larsson, Maire, Shakhnarovich. "FractalNet: Ultra-Deep Neural Networks without
        Residuals". ICLR 2017. arXiv:1605.07648. The form per sample and residual
        branch is the one that later image models use.

    Training: y = x b / (1 - rate), with b ~ Bernoulli(1 - rate) per sample, so the mean
    of y is x. Inference: y = x.

    Args:
        rate: probability that a sample is dropped, in [0, 1).
        seed: an integer or `None`.
        **kwargs: of the base layer, such as `name` and `dtype`.

    Call arguments:
        inputs: a tensor of any rank with the batch first.
        training: whether to drop.

    Input shape:
        `(batch, ...)`.

    Output shape:
        The same as the input.

    Raises:
        ValueError: for a rate outside [0, 1).

    Example:

    ```python
    import keras
    import kzoo

    x = keras.Input((8, 8, 16))
    branch = keras.layers.Conv2D(16, 3, padding="same")(x)
    model = keras.Model(x, x + kzoo.layers.DropPath(0.1)(branch))
    ```

    `keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1))` does the same to maps, but
    needs another `noise_shape` for each rank.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = fraction(rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=None):
        """Drop samples when training."""
        if not training or self.rate == 0:
            return inputs
        shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        mask = inverted_mask(shape, self.rate, self.seed_generator)
        return inputs * ops.cast(mask, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
