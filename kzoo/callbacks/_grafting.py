"""How much of its own weights a network keeps when another is grafted onto it."""

import dataclasses

import keras
import numpy as np

from kzoo.callbacks._filters import kernels_of


def entropy(values, bins=10, with_maximum=True):
    """Entropy in nats of the histogram of all values, between the smallest and the largest.

    Args:
        values: an array.
        bins: number of bins.
        with_maximum: whether the largest value counts; it lies at the end of the last bin.
    """
    values = np.asarray(values, "float64").ravel()
    low, high = values.min(), values.max()
    if low == high:
        return 0.0
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    if not with_maximum:
        counts[-1] -= np.count_nonzero(values == high)
    shares = counts[counts > 0] / values.size
    return float(-np.sum(shares * np.log(shares)))


def entropies(kernel, axes, bins, with_maximum):
    """The entropy of each filter of a kernel, whose axes `axes` count filters."""
    axes = [axis % kernel.ndim for axis in axes]
    filters = np.moveaxis(kernel, axes, range(len(axes)))
    filters = filters.reshape(int(np.prod(filters.shape[: len(axes)])), -1)
    return np.array([entropy(one, bins, with_maximum) for one in filters])


@dataclasses.dataclass(frozen=True)
class ByEntropy:
    """Shares by the entropies of kernels.

    Attributes:
        level: `"layer"` for one share a kernel, `"filter"` for one a filter.
        amplitude, scale, bins: A, c and the bins of the histogram.
        exact: `False` for what the authors' code does: the maximum is lost, and shares have two
            digits.
    """

    level: str
    amplitude: float
    scale: float
    bins: int
    exact: bool

    def check(self, weights):
        """Nothing to refuse."""

    def measure(self, weights, values):
        """The entropies of each kernel: one, or one a filter."""
        pairs = [(w, v) for w, v in zip(weights, values, strict=True) if w.is_kernel]
        if self.level == "layer":
            return [np.array([entropy(value, self.bins, self.exact)]) for _, value in pairs]
        return [entropies(value, w.axes, self.bins, self.exact) for w, value in pairs]

    def shares(self, own, other):
        """What a network keeps of each kernel, from two results of `measure`."""
        found = [
            self.amplitude / np.pi * np.arctan(self.scale * (mine - theirs)) + 0.5
            for mine, theirs in zip(own, other, strict=True)
        ]
        return found if self.exact else [np.round(share, 2) for share in found]

    def share_of(self, weight, shares):
        """What it keeps of one weight, so that it multiplies the weight."""
        share = shares[weight.kernel or 0]
        if share.size > 1 and weight.axes:
            return _along(share, weight.variable.shape, weight.axes)
        return share.mean()


class ByScale:
    """Shares by the scales of batch normalisation, as in the authors' code for filters."""

    def check(self, weights):
        """Refuse what is no chain of convolutions, each with batch normalisation.

        Raises:
            ValueError: naming the first layer that does not fit.
        """
        scales = _scales(weights)
        for number, weight in enumerate(kernels_of(weights)):
            before = None if number == 0 else number - 1
            chained = weight.axes == (-1,) and weight.reads == before
            if chained and before is not None:
                chained = weight.variable.shape[-2] == scales[before].variable.shape[0]
            if not chained or number not in scales:
                raise ValueError(
                    "level='filter' with variant='reference' needs a chain of convolutions, each "
                    "followed by BatchNormalization with a scale, such as VGG. Received: "
                    f"{weight.layer.name!r} does not fit. Use variant='paper'."
                )

    def measure(self, weights, values):
        """The scales of the filters of each kernel."""
        scales = _scales(weights)
        places = {id(weight): value for weight, value in zip(weights, values, strict=True)}
        return [np.abs(places[id(scales[number])]) for number in sorted(scales)]

    def shares(self, own, other):
        """What a network keeps of each filter; half where both scales are 0."""
        return [
            np.divide(mine, mine + theirs, out=np.full(mine.shape, 0.5), where=mine + theirs > 0)
            for mine, theirs in zip(own, other, strict=True)
        ]

    def share_of(self, weight, shares):
        """What it keeps of one weight; `None` where the authors' code grafts nothing."""
        if isinstance(weight.layer, keras.layers.BatchNormalization):
            # They blend the whole vector once for each filter.
            return np.prod(shares[weight.kernel or 0])
        if not weight.is_kernel:
            return None
        share = _along(shares[weight.kernel], weight.variable.shape, (-1,))
        if weight.reads is None:
            return share
        return share * _along(shares[weight.reads], weight.variable.shape, (-2,))


def _scales(weights):
    """Kernel number -> the scale of the batch normalisation that follows it."""
    found = {}
    for weight in weights:
        normalizes = isinstance(weight.layer, keras.layers.BatchNormalization)
        if normalizes and weight.variable.name == "gamma" and weight.axes:
            found.setdefault(weight.kernel, weight)
    return found


def _along(share, shape, axes):
    """One number a filter, in the shape that multiplies a weight."""
    sizes = [1] * len(shape)
    for axis in axes:
        sizes[axis] = shape[axis]
    return share.reshape(sizes)
