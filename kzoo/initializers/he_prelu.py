"""HePReLU: He initialisation for layers that a PReLU or leaky ReLU follows."""

import math

import keras

from kzoo.registry import register


def _declared_variance(shape):
    """Variance of `HePReLU()` for a kernel of that shape: slope 0.25, fan-in."""
    return 2.0 / ((1.0 + 0.25**2) * math.prod(shape[:-1]))


@register(
    "initializer",
    paper="arXiv:1502.01852",
    aliases=("MSRA", "He-PReLU", "Kaiming"),
    tiny={"args": {"negative_slope": 0.25, "seed": 1}, "shape": (3, 3, 4, 8)},
    mean=lambda shape: 0.0,
    variance=_declared_variance,
)
class HePReLU(keras.initializers.VarianceScaling):
    """Normal kernels that keep the variance of signals through PReLU layers.

    Use it for the kernels of deep plain networks whose activations are PReLU or
    leaky ReLU; with `negative_slope=0` it is the initialiser for ReLU.

    Reference:
        He, Zhang, Ren, Sun. "Delving Deep into Rectifiers: Surpassing Human-Level
        Performance on ImageNet Classification". ICCV 2015. arXiv:1502.01852.

    A kernel is drawn from N(0, 2 / ((1 + a²) fan)), where `a` is the slope of the
    activation for negative inputs. For a convolution kernel `fan_in` is
    height * width * input channels, `fan_out` is height * width * output channels.
    With `"fan_in"` the variance of the outputs stays the same from layer to layer, with
    `"fan_out"` that of the gradients. Without the factor 1 + a² the variance grows
    5.8 times in 30 layers at a = 0.25.

    Keras' `he_normal` has no slope and cuts the normal distribution off at two
    standard deviations; this one does not. Fans are counted from the kernel's shape:
    for a depthwise kernel `fan_in`, and for a grouped one `fan_out`, is too large.

    Args:
        negative_slope: slope of the activation for negative inputs.
        mode: `"fan_in"` or `"fan_out"`.
        seed: an integer, a `keras.random.SeedGenerator` or `None`. With an integer
            each call gives the same values.

    Raises:
        ValueError: for a slope that is not a finite number, or an unknown mode.

    Example:

    ```python
    import keras
    import kzoo

    layer = keras.layers.Conv2D(8, 3, kernel_initializer=kzoo.initializers.HePReLU(seed=1))
    activation = kzoo.layers.PReLU()
    features = activation(layer(keras.ops.ones((2, 8, 8, 3))))
    ```
    """

    def __init__(self, negative_slope=0.25, mode="fan_in", seed=None):
        if not isinstance(negative_slope, int | float) or not math.isfinite(negative_slope):
            raise ValueError(
                "`negative_slope` must be a finite number. "
                f"Received: negative_slope={negative_slope!r}"
            )
        if mode not in ("fan_in", "fan_out"):
            raise ValueError(f'`mode` must be "fan_in" or "fan_out". Received: mode={mode!r}')
        super().__init__(
            scale=2.0 / (1.0 + negative_slope**2),
            mode=mode,
            distribution="untruncated_normal",
            seed=seed,
        )
        self.negative_slope = negative_slope

    def get_config(self):
        """The constructor's arguments."""
        seed = super().get_config()["seed"]
        return {"negative_slope": self.negative_slope, "mode": self.mode, "seed": seed}
