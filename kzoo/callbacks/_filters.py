"""The convolutions of a network, and which of its other weights follow which of them."""

import dataclasses
import math

import keras

_PLAIN = {"kernel": (-1,)}
_TRANSPOSED = {"kernel": (-2,)}
_DEPTHWISE = {"kernel": (-2, -1)}
_SEPARABLE = {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)}
# For each layer that convolves: its kernels and their axes that count filters.
_KERNELS = {
    keras.layers.Conv1D: _PLAIN,
    keras.layers.Conv2D: _PLAIN,
    keras.layers.Conv3D: _PLAIN,
    keras.layers.Conv1DTranspose: _TRANSPOSED,
    keras.layers.Conv2DTranspose: _TRANSPOSED,
    keras.layers.Conv3DTranspose: _TRANSPOSED,
    keras.layers.DepthwiseConv1D: _DEPTHWISE,
    keras.layers.DepthwiseConv2D: _DEPTHWISE,
    keras.layers.SeparableConv1D: _SEPARABLE,
    keras.layers.SeparableConv2D: _SEPARABLE,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Weight:
    """A weight of a network.

    Attributes:
        variable: the weight.
        layer: its layer.
        kernel: the number of the kernel that it is or follows; `None` before the first one.
        axes: the axes that count the filters of that kernel; none where it has no such axis.
        reads: for a kernel the number of the one before it.
        is_kernel: whether it is a kernel of a convolution.
    """

    variable: keras.Variable
    layer: keras.Layer
    kernel: int | None
    axes: tuple[int, ...]
    reads: int | None
    is_kernel: bool


def weights_of(network):
    """The weights of a network that hold real numbers, in the order in which data meet them.

    What stands between two convolutions follows the one that made its input; where several
    branches meet, the last of theirs.

    Args:
        network: a built `keras.Model`.

    Returns:
        A list of `Weight`.
    """
    walk = _Walk()
    walk.visit(network, None)
    return walk.weights


def kernels_of(weights):
    """The kernels among the weights, by number."""
    return [weight for weight in weights if weight.is_kernel]


class _Walk:
    def __init__(self):
        self.weights, self.filters, self.seen = [], [], {}

    def visit(self, layer, before):
        """Note the weights of a layer; the number of the kernel that its output follows."""
        if not isinstance(layer, keras.Layer) or not layer.weights:
            return before
        if id(layer) not in self.seen:
            through = self._graph if isinstance(layer, keras.Function) else self._parts
            self.seen[id(layer)] = through(layer, before)
        return self.seen[id(layer)]

    def _graph(self, model, before):
        # `model.layers` goes by depth, in which branches side by side are mixed.
        follows, last = {}, before
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                met = [follows.get(id(parent)) for parent in node.parent_nodes] or [before]
                reads = max((kernel for kernel in met if kernel is not None), default=None)
                follows[id(node)] = last = self.visit(node.operation, reads)
        return last

    def _parts(self, layer, before):
        children = (
            layer.layers
            if isinstance(layer, keras.Model)
            else layer._flatten_layers(include_self=False, recursive=False)
        )
        theirs = {id(weight) for child in children for weight in child.weights}
        follows = self._own([w for w in layer.weights if id(w) not in theirs], layer, before)
        for child in children:
            follows = self.visit(child, follows)
        return follows

    def _own(self, variables, layer, before):
        known = next((axes for kind, axes in _KERNELS.items() if isinstance(layer, kind)), {})
        kernels = [v for v in variables if v.name in known]
        follows = before
        for variable in kernels:
            axes = known[variable.name]
            self.filters.append(math.prod(variable.shape[axis] for axis in axes))
            self.weights.append(
                Weight(variable, layer, len(self.filters) - 1, axes, follows, is_kernel=True)
            )
            follows = len(self.filters) - 1
        others = [v for v in variables if v.name not in known]
        others = [v for v in others if keras.backend.is_float_dtype(v.dtype)]
        axes = (-1,) if others and all(self._has_channels(v, follows) for v in others) else ()
        for variable in others:
            self.weights.append(Weight(variable, layer, follows, axes, None, is_kernel=False))
        return follows

    def _has_channels(self, variable, kernel):
        """Whether a weight is one number for each filter."""
        if kernel is None or not variable.shape:
            return False
        return variable.shape[-1] == math.prod(variable.shape) == self.filters[kernel]
