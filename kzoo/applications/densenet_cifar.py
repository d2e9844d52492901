"""Densely connected networks for small images."""

from kzoo.applications import _common, _densenet
from kzoo.applications._common import decode_predictions
from kzoo.registry import register

__all__ = [
    "VARIANTS",
    "DenseNet",
    "DenseNetB",
    "DenseNetBC",
    "DenseNetC",
    "decode_predictions",
    "preprocess_input",
]

VARIANTS = {
    "DenseNet": {"depth": 40, "growth_rate": 12, "bottleneck": False, "reduction": 1.0},
    "DenseNetB": {"depth": 100, "growth_rate": 12, "bottleneck": True, "reduction": 1.0},
    "DenseNetC": {"depth": 40, "growth_rate": 12, "bottleneck": False, "reduction": 0.5},
    "DenseNetBC": {"depth": 100, "growth_rate": 12, "bottleneck": True, "reduction": 0.5},
}
# Published trainable counts; the models of more than 20 million parameters are tested apart.
_PARAMETERS = {
    "DenseNet": [({}, 1_019_722), ({"input_shape": (28, 28, 1)}, 1_019_434)],
    "DenseNetB": [],
    "DenseNetC": [],
    "DenseNetBC": [
        ({}, 769_162),
        ({"input_shape": (28, 28, 1)}, 768_730),
        ({"depth": 40}, 176_122),
        ({"depth": 40, "input_shape": (28, 28, 1)}, 175_690),
    ],
}
_USE = {
    "DenseNet": (
        "The plain densely connected network for small images.",
        "Use it to reproduce the paper's first results; `DenseNetBC` needs fewer parameters.",
    ),
    "DenseNetB": (
        "The densely connected network with bottleneck layers, for small images.",
        "Use it to see the effect of the bottleneck alone; `DenseNetBC` also compresses.",
    ),
    "DenseNetC": (
        "The densely connected network with compression, for small images.",
        "Use it to see the effect of compression alone; `DenseNetBC` also has bottlenecks.",
    ),
    "DenseNetBC": (
        "The densely connected network with bottlenecks and compression, for small images.",
        "Use it where an accurate classifier of images of about 32x32 must be small: of the\n"
        "four forms it needs the fewest parameters.",
    ),
}

_DOC = """{title}

{use}

Reference:
    Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional
    Networks", CVPR 2017, arXiv:1608.06993, Section 3.

A 3x3 convolution with {stem} filters, three blocks of {layers}
layers (see `kzoo.layers.DenseBlock`) with transitions between them, then batch
normalisation, ReLU, global average pooling and the classifier. Each layer is
{layer} and adds `growth_rate` maps.

Taps: `stem`, `stage1`, `stage2`, `stage3` (all maps of a block, before
normalisation), `pooled`, `logits`, `predictions`. Class activation maps read the
layer `final_relu`.

Args:
    depth: number of layers with weights, {step} n + 4.
    growth_rate: maps that each layer adds.
    reduction: share of the maps that a transition keeps, in (0, 1].
    dropout_rate: rate of dropout after every convolution but the first; the paper
        has 0.2 where images are not augmented.
    normalization: `"shared"`: each map is normalised once; or `"per_layer"`, as
        published. The same functions and gradients, the same trainable weights.
    memory_efficient: recompute concatenations and normalisations in the backward
        pass instead of keeping them.
    include_top: whether to end with the classifier.
    weights: `None`, the name of a recorded run or the path of a `.weights.h5` file.
    input_tensor: a `KerasTensor` to build on.
    input_shape: `(height, width, channels)`; `(32, 32, 3)` by default. Height and
        width are at least 8, or `None`.
    pooling: without the top: `None` for the last map, `"avg"` or `"max"`.
    classes: number of classes.
    classifier_activation: activation of the last layer; `None` gives logits.
    name: name of the model.

Returns:
    A `keras.Model`.

Raises:
    ValueError: for a depth that is not {step} n + 4, an image that is too small,
        or weights that do not fit.

Example:

```python
import numpy as np
from kzoo.applications import {name}

model = {name}(depth={small}, growth_rate=4, input_shape=(16, 16, 3))
assert model(np.zeros((2, 16, 16, 3), "float32")).shape == (2, 10)
```

As in the published code, kernels start from an untruncated normal of variance
2 / (size^2 * filters), batch normalisation has momentum 0.9 and epsilon 1e-5, and
the first convolution has {stem} filters.
"""


def _constructor(name):
    """The constructor of one variant, registered."""
    variant, default_name = VARIANTS[name], name.lower()
    bottleneck = variant["bottleneck"]

    def constructor(
        depth=variant["depth"],
        growth_rate=variant["growth_rate"],
        reduction=variant["reduction"],
        dropout_rate=0.0,
        normalization="shared",
        memory_efficient=False,
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=10,
        classifier_activation="softmax",
        name=default_name,
    ):
        return _densenet.cifar(
            depth=depth,
            growth_rate=growth_rate,
            bottleneck=bottleneck,
            reduction=reduction,
            block={
                "dropout_rate": dropout_rate,
                "normalization": normalization,
                "memory_efficient": memory_efficient,
            },
            input={
                "input_shape": input_shape,
                "input_tensor": input_tensor,
                "include_top": include_top,
            },
            top={
                "include_top": include_top,
                "pooling": pooling,
                "classes": classes,
                "classifier_activation": classifier_activation,
            },
            weights=weights,
            name=name,
            title=constructor.__name__,
        )

    constructor.__name__ = constructor.__qualname__ = name
    constructor.__doc__ = _document(name, bottleneck)
    return _register(name, bottleneck)(constructor)


def _register(name, bottleneck):
    letters = name.removeprefix("DenseNet")
    return register(
        "application",
        paper="arXiv:1608.06993",
        aliases=(f"DenseNet-{letters}",) if letters else (),
        tiny={
            "args": {"depth": 10 if bottleneck else 7, "growth_rate": 4},
            "input_shape": (8, 8, 3),
        },
        parameters=_PARAMETERS[name],
        stages=3,
        min_size=8,
    )


def _document(name, bottleneck):
    title, use = _USE[name]
    step = 6 if bottleneck else 3
    return _DOC.format(
        name=name,
        title=title,
        use=use,
        step=step,
        small=step + 4,
        layers=f"(depth - 4) / {step}",
        stem="`2 * growth_rate`" if bottleneck else "16",
        layer="a 1x1 and a 3x3 convolution" if bottleneck else "a 3x3 convolution",
    )


DenseNet = _constructor("DenseNet")
DenseNetB = _constructor("DenseNetB")
DenseNetC = _constructor("DenseNetC")
DenseNetBC = _constructor("DenseNetBC")


def preprocess_input(x, mean=_common.CIFAR10_MEAN, std=_common.CIFAR10_STD):
    """Images of [0, 255] to [0, 1], then standardised with the statistics of CIFAR-10.

    Args:
        x: array or tensor `(..., height, width, channels)`; it is not changed.
        mean: one number a channel, or one for all. For weights that were recorded by
            kzoo give `dataset.spec.mean`.
        std: the same for the standard deviation.
    """
    return _common.preprocess(x, mean, std)
