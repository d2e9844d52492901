"""Networks of one architecture graft their weights onto each other after each epoch."""

import sys

import keras
import numpy as np

from kzoo.callbacks._arrays import array, finite
from kzoo.callbacks._filters import kernels_of
from kzoo.callbacks._grafting import ByEntropy, ByScale
from kzoo.callbacks._ring import checked, read_alike
from kzoo.losses._arguments import check_choice, check_integer, check_number
from kzoo.registry import register


@register(
    "callback",
    paper="arXiv:2001.05868",
    aliases=("Grafting",),
    tiny={"build": lambda: FilterGrafting()},
)
class FilterGrafting(keras.callbacks.Callback):
    """After each epoch every network takes over a part of the weights of its neighbour.

    Use it with two or more networks of the same architecture that train side by side: filters that
    have become useless in one get new life from the other. It costs nothing at prediction: in the
    end you keep one network. The networks must differ: let them start from different weights, and
    give them different learning rates.

    Reference:
        F. Meng, H. Cheng, K. Li, Z. Xu, R. Ji, X. Sun, G. Lu, "Filter Grafting for Deep Neural
        Networks", CVPR 2020, arXiv:2001.05868.

    The networks form a ring. All at once, network i becomes, layer by layer,

        W_i ← w W_i + (1 − w) W_{i−1}
        w = A/π · arctan(c (H(W_i) − H(W_{i−1}))) + 1/2

    where H is the entropy of a histogram of the layer's weights from the smallest to the largest.
    The layer that holds more information keeps more of itself; w is between (1 − A) / 2 and
    (1 + A) / 2. Of two networks both w add up to 1, so both are equal after each grafting and
    part again by their learning rates or batches; three and more stay unlike.

    Each kernel of a convolution has its own w. Its bias and what follows it up to the next
    convolution (batch normalisation with its statistics, dense layers) go with it; where branches
    meet, with the last of them. What comes before the first convolution goes with the first.

    `level="filter"` gives each filter its own w, from the entropy of that filter alone. What has
    one number for each filter (bias, batch normalisation) goes with the filters, the rest with
    their mean.

    The networks are those of the trainer's `models`, for example
    `kzoo.trainers.MutualLearning(models, weight=0)`, which trains them independently on the same
    batches. With networks in fits of their own give `models` and call `graft()` between the fits.

    The weights are grafted at the end of the epoch, after validation: validate again before you
    compare or choose networks. The states of the optimisers (momentum, averages) stay as they are.
    Put it before `ResumableCheckpoint` in the list of callbacks: the other way round, what a
    killed run goes on from lacks the last grafting.

    Logs `<network>_grafting_weight`, the mean of w. Networks with NaN are not grafted, and one line
    on stderr says so. `history[network][kernel]` is the list of w, a number or one a filter, of all
    graftings by this object.

    Args:
        models: two or more networks of one architecture; `None` for those of the trainer.
        level: `"layer"` or `"filter"`.
        amplitude: A, from 0 (always the mean) to 1.
        scale: c > 0, how sharply w answers to a difference of entropies.
        bins: of the histogram.
        variant: `"paper"`, or `"reference"` for what the authors' code does (see below).

    Raises:
        ValueError: for arguments out of range, for fewer than two networks, for networks that share
            weights, that have no convolution or whose weights differ in shape.

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    def network(name):
        layers = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
                  keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, "softmax")]
        return keras.Sequential([keras.Input((8, 8, 1)), *layers], name=name)

    trainer = kzoo.trainers.MutualLearning([network("first"), network("second")], weight=0)
    trainer.compile(
        kzoo.trainers.PlayerOptimizers(
            {"first": keras.optimizers.SGD(0.1), "second": keras.optimizers.SGD(0.05)}
        ),
        "sparse_categorical_crossentropy",
    )
    grafting = kzoo.callbacks.FilterGrafting()
    x, y = np.random.rand(8, 8, 8, 1), np.arange(8) % 3
    trainer.fit(x, y, epochs=2, callbacks=[grafting], verbose=0)
    ```

    Differences: the authors' code loses the maximum, which falls out of every bin, and rounds w to
    two digits; both are so with `variant="reference"`. For filters it knows no entropy: there
    w = |γ_i| / (|γ_i| + |γ_{i−1}|) with γ the scale of the batch normalisation behind the filter;
    kernels are grafted along their inputs too, with the w of the convolution before, batch
    normalisation with the product of all w of its layer, and nothing else is. That is
    `level="filter", variant="reference"`, for chains of convolutions.
    """

    def __init__(
        self,
        models=None,
        level="layer",
        amplitude=0.4,
        scale=500.0,
        bins=10,
        variant="paper",
    ):
        super().__init__()
        self.level = check_choice("level", level, ("layer", "filter"))
        self.amplitude = check_number("amplitude", amplitude, high=1.0, inclusive=True)
        self.scale = check_number("scale", scale)
        self.bins = check_integer("bins", bins, low=2)
        self.variant = check_choice("variant", variant, ("paper", "reference"))
        self.models = None if models is None else checked(models)
        self.history = {}
        self._rule = (
            ByScale()
            if (level, variant) == ("filter", "reference")
            else ByEntropy(level, amplitude, scale, bins, exact=variant == "paper")
        )
        self._networks = {}

    def on_train_begin(self, logs=None):
        """Find the networks; look at their layers where they are built."""
        self._networks = {}
        models = self._models()
        if all(model.built for model in models):
            self._prepare(models)

    def on_epoch_end(self, epoch, logs=None):
        """Graft, and log the means of w."""
        for name, weight in self.graft().items():
            if logs is not None:
                logs[f"{name}_grafting_weight"] = weight

    def graft(self):
        """Graft all networks now.

        Returns:
            The mean of w of each network by name; empty where nothing was grafted because weights
            are not finite.
        """
        if not self._networks:
            self._prepare(self._models())
        networks = list(self._networks.values())
        values = [[array(weight.variable) for weight in weights] for weights in networks]
        if not all(finite(value) for own in values for value in own):
            print("\nNothing was grafted: a network holds NaN or infinity.", file=sys.stderr)
            return {}
        measured = [self._rule.measure(*pair) for pair in zip(networks, values, strict=True)]
        means = {}
        for i, (name, weights) in enumerate(self._networks.items()):
            shares = self._rule.shares(measured[i], measured[i - 1])
            for weight, own, other in zip(weights, values[i], values[i - 1], strict=True):
                share = self._rule.share_of(weight, shares)
                if share is not None:
                    weight.variable.assign(_blend(own, other, share))
            self._remember(name, weights, shares)
            means[name] = float(np.mean([share.mean() for share in shares]))
        return means

    def _remember(self, name, weights, shares):
        kept = self.history.setdefault(name, {})
        for weight, share in zip(kernels_of(weights), shares, strict=True):
            value = float(share[0]) if self.level == "layer" else share
            kept.setdefault(weight.variable.path, []).append(value)

    def _models(self):
        if self.models is not None:
            return self.models
        models = getattr(self.model, "models", None)
        if models is None:
            raise ValueError(
                f"FilterGrafting found no networks: {type(self.model).__name__} has no `models`. "
                "Give them, FilterGrafting(models=[first, second]), or train them with "
                "kzoo.trainers.MutualLearning([first, second], weight=0)."
            )
        return checked(models)

    def _prepare(self, models):
        networks = read_alike(models)
        self._rule.check(next(iter(networks.values())))
        self._networks = networks


def _blend(own, other, share):
    """`share · own + (1 − share) · other`, exactly `own` where both are equal."""
    wide = [value.astype("float64") for value in (own, other)]
    return np.where(own == other, own, share * wide[0] + (1 - share) * wide[1])
