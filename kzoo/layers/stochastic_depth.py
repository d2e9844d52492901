"""StochasticDepth: adds the residual branch for some mini-batches only."""

import keras
from keras import ops

from kzoo.layers._arguments import fraction
from kzoo.layers._noise import happens
from kzoo.registry import register


@register(
    "layer",
    paper="arXiv:1603.09382",
    aliases=("ResidualDrop",),
    tiny={
        "args": {"rate": 0.25, "seed": 1},
        "input_shape": [(2, 8, 8, 4), (2, 8, 8, 4)],
    },
    training="noise",
)
class StochasticDepth(keras.Layer):
    """Sum of a shortcut and a residual branch that is dropped for whole mini-batches.

    Use it in place of `Add` at the end of a residual block, before the ReLU if there is
    one. The paper lets the rate grow with depth: block l of L has rate
    `l / L * final_rate`, with `final_rate=0.5`. For a draw per sample use `DropPath`.

    Reference:
        Huang, Sun, Liu, Sedra, Weinberger. "Deep Networks with Stochastic Depth". ECCV
        2016. arXiv:1603.09382.

    With the survival probability p = 1 - rate and one draw b ~ Bernoulli(p) per layer
    and mini-batch:

    - `scaling="paper"`: y = x + b f(x) in training, y = x + p f(x) at inference.
    - `scaling="inverted"`: y = x + (b / p) f(x) in training, y = x + f(x) at inference.

    The two are not interchangeable in a trained network: batch normalisation after the
    sum sees other statistics.

    Args:
        rate: probability that the branch is dropped, in [0, 1); the papers' 1 - p.
        scaling: `"paper"` or `"inverted"`.
        seed: an integer or `None`.
        **kwargs: of the base layer, such as `name` and `dtype`.

    Call arguments:
        inputs: a list `[shortcut, residual]` of two tensors of one shape, any rank.
        training: whether to drop.

    Input shape:
        A list of two equal shapes, for example `(batch, height, width, channels)`.

    Output shape:
        The shape of one input.

    Raises:
        ValueError: for a rate outside [0, 1), an unknown scaling, or inputs that are not
            two tensors of one shape.

    Example:

    ```python
    import keras
    import kzoo

    x = keras.Input((8, 8, 16))
    residual = keras.layers.Conv2D(16, 3, padding="same")(x)
    y = kzoo.layers.StochasticDepth(0.2)([x, residual])
    model = keras.Model(x, keras.layers.ReLU()(y))
    ```

    The paper does not compute a dropped branch, which saves a quarter of the time. Here
    the branch is an input and so is computed always; the result is the same, except that
    batch normalisation inside a dropped branch still updates its moving statistics.
    """

    def __init__(self, rate, scaling="paper", seed=None, **kwargs):
        super().__init__(**kwargs)
        if scaling not in ("paper", "inverted"):
            raise ValueError(f'`scaling` must be "paper" or "inverted". Received: {scaling!r}')
        self.rate = fraction(rate)
        self.scaling = scaling
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Check that there are two equal shapes."""
        self.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        """Add the residual branch, scaled by the draw or by its mean."""
        shortcut, residual = inputs
        return shortcut + residual * ops.cast(self._factor(training), residual.dtype)

    def compute_output_shape(self, input_shape):
        """The shape of the shortcut."""
        shapes = [tuple(shape) for shape in input_shape if isinstance(shape, tuple | list)]
        if len(shapes) != 2 or not _compatible(*shapes):
            raise ValueError(
                "StochasticDepth takes a list [shortcut, residual] of two tensors of one "
                f"shape; project the shortcut first. Received: input_shape={input_shape}"
            )
        return tuple(b if a is None else a for a, b in zip(*shapes, strict=True))

    def get_config(self):
        """The constructor's arguments."""
        config = {"rate": self.rate, "scaling": self.scaling, "seed": self.seed}
        return {**super().get_config(), **config}

    def _factor(self, training):
        survival = 1.0 - self.rate
        inverted = self.scaling == "inverted"
        if not training:
            return 1.0 if inverted else survival
        drawn = ops.cast(happens((), survival, self.seed_generator), "float32")
        return drawn / survival if inverted else drawn


def _compatible(first, second):
    """Whether two shapes can be the same, with unknown sizes left open."""
    return len(first) == len(second) and all(
        None in (a, b) or a == b for a, b in zip(first, second, strict=True)
    )
