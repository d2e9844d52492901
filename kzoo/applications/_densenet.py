"""The network of the DenseNet constructors: stem, blocks, transitions, top."""

import keras

from kzoo.applications import _common
from kzoo.layers import DenseBlock, DenseTransition

CIFAR_NORM = {"momentum": 0.9, "epsilon": 1e-5}
IMAGENET_NORM = {"momentum": 0.9, "epsilon": 1.001e-5}


def layers_per_block(depth, bottleneck):
    """How many layers each of the three blocks has.

    Raises:
        ValueError: where `depth` is no integer of the form 3 n + 4, or 6 n + 4 with
            a bottleneck.
    """
    step = 6 if bottleneck else 3
    legal = isinstance(depth, int) and not isinstance(depth, bool) and depth >= step + 4
    if not legal or (depth - 4) % step:
        examples = ", ".join(str(step * n + 4) for n in (1, 2, 6, 12, 16))
        raise ValueError(
            f"`depth` must be {step} n + 4 {'with' if bottleneck else 'without'} a bottleneck, for "
            f"example {examples}. Received: depth={depth!r}"
        )
    return (depth - 4) // step


def check_growth_rate(growth_rate):
    """Refuse what is no positive integer."""
    if not isinstance(growth_rate, int) or isinstance(growth_rate, bool) or growth_rate < 1:
        raise ValueError(
            f"`growth_rate` must be a positive integer. Received: growth_rate={growth_rate!r}"
        )


def cifar(*, depth, growth_rate, bottleneck, reduction, block, input, top, weights, name, title):
    """The form for small images: a 3x3 stem and three blocks.

    Args:
        depth: number of layers with weights.
        growth_rate: maps that each layer adds.
        bottleneck: 1x1 convolution before each 3x3 convolution.
        reduction: of the transitions.
        block: `dropout_rate`, `normalization`, `memory_efficient`.
        input: `include_top`, `input_shape`, `input_tensor`.
        top: `include_top`, `pooling`, `classes`, `classifier_activation`.
        weights: see `_common.load_weights`.
        name: name of the model.
        title: name of the constructor, for errors.
    """
    layers = layers_per_block(depth, bottleneck)
    check_growth_rate(growth_rate)
    x, inputs = _common.image_input(**input, default_shape=(32, 32, 3), min_size=8)
    filters = 2 * growth_rate if bottleneck else 16
    x = _conv(filters, 3, padding="same", name="stem")(x)
    block = {**block, **CIFAR_NORM, "growth_rate": growth_rate, "bottleneck": bottleneck}
    x = _stages(x, [layers] * 3, reduction, block)
    model = keras.Model(inputs, _common.attach_top(x, **top), name=name)
    _common.load_weights(model, weights, name=title)
    return model


def imagenet(*, blocks, growth_rate, block, input, top, name):
    """The form for large images: a 7x7 stem, pooling and four blocks; without weights."""
    check_growth_rate(growth_rate)
    if not blocks or not all(isinstance(layers, int) and layers > 0 for layers in blocks):
        raise ValueError(f"`blocks` must be positive integers. Received: blocks={blocks!r}")
    x, inputs = _common.image_input(**input, default_shape=(224, 224, 3), min_size=32)
    x = keras.layers.ZeroPadding2D(3, name="stem_pad")(x)
    x = _conv(2 * growth_rate, 7, strides=2, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(**IMAGENET_NORM, name="stem_norm")(x)
    x = keras.layers.Activation("relu", name="stem_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="stem")(x)
    block = {**block, **IMAGENET_NORM, "growth_rate": growth_rate, "normalization": "per_layer"}
    x = _stages(x, blocks, 0.5, block)
    return keras.Model(inputs, _common.attach_top(x, **top), name=name)


def _stages(x, blocks, reduction, block):
    """Blocks with transitions between them, then the last normalisation and ReLU."""
    norm = {key: block[key] for key in ("momentum", "epsilon")}
    shared = {**norm, **{key: block[key] for key in ("dropout_rate", "memory_efficient")}}
    for stage, layers in enumerate(blocks, 1):
        x = DenseBlock(layers, **block, name=f"stage{stage}")(x)
        if stage < len(blocks):
            x = DenseTransition(reduction, **shared, name=f"transition{stage}")(x)
    x = keras.layers.BatchNormalization(**norm, name="final_norm")(x)
    return keras.layers.Activation("relu", name="final_relu")(x)


def _conv(filters, size, **kwargs):
    start = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    return keras.layers.Conv2D(filters, size, use_bias=False, kernel_initializer=start, **kwargs)
