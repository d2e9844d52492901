"""Densely connected networks for large images, with the official ImageNet weights."""

import json

from kzoo.applications import _common, _densenet
from kzoo.applications._densenet_import import is_keras_file, load_keras_file
from kzoo.registry import register

__all__ = [
    "VARIANTS",
    "DenseNet121",
    "DenseNet161",
    "DenseNet169",
    "DenseNet201",
    "DenseNet264",
    "decode_predictions",
    "preprocess_input",
]

VARIANTS = {
    "DenseNet121": {"blocks": (6, 12, 24, 16), "growth_rate": 32, "parameters": 7_978_856},
    "DenseNet161": {"blocks": (6, 12, 36, 24), "growth_rate": 48, "parameters": 28_681_000},
    "DenseNet169": {"blocks": (6, 12, 32, 32), "growth_rate": 32, "parameters": 14_149_480},
    "DenseNet201": {"blocks": (6, 12, 48, 32), "growth_rate": 32, "parameters": 20_013_928},
    "DenseNet264": {"blocks": (6, 12, 64, 48), "growth_rate": 32, "parameters": None},
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_CLASSES = 1000
_SOURCE = "https://storage.googleapis.com/tensorflow/keras-applications/densenet/"
_MD5 = {
    "densenet121_weights_tf_dim_ordering_tf_kernels.h5": "9d60b8095a5708f2dcce2bca79d332c7",
    "densenet169_weights_tf_dim_ordering_tf_kernels.h5": "d699b8f76981ab1b30698df4c175e90b",
    "densenet201_weights_tf_dim_ordering_tf_kernels.h5": "1ceb130c1ea1b78c3bf6114dbdfd8807",
    "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5": "30ee3e1110167f948a6b9946edeeb738",
    "densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5": "b8c4d4c20dd625c148057b9ff1c1176b",
    "densenet201_weights_tf_dim_ordering_tf_kernels_notop.h5": "c13680b51ded0fb44dff2d8f86ac8bb1",
}
_INDEX_URL = "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
_INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"

_DOC = """{title} for images of about 224x224, {layers} layers deep.

Use it as a strong, known teacher or reference on large images, {weights}. For
images of about 32x32 use `DenseNetBC`.

Reference:
    Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional
    Networks", CVPR 2017, arXiv:1608.06993, Table 1{source}.

A 7x7 convolution with stride 2, batch normalisation, ReLU and 3x3 max pooling
with stride 2; then blocks of {blocks} layers (see `kzoo.layers.DenseBlock`)
with transitions between them that halve maps and size; then batch
normalisation, ReLU, global average pooling and the classifier.

Taps: `stem` (after the max pooling), `stage1` ... `stage4` (all maps of a block,
before normalisation), `pooled`, `logits`, `predictions`. Class activation maps
read the layer `final_relu`.

Args:
    include_top: whether to end with the classifier.
    weights: `None`, {names}the name of a recorded run, or the path of a
        file: `.weights.h5` of kzoo, or `.h5` of `keras.applications`.
    input_tensor: a `KerasTensor` to build on.
    input_shape: `(height, width, channels)`; `(224, 224, 3)` by default. Height and
        width are at least 32, or `None`.
    pooling: without the top: `None` for the last map, `"avg"` or `"max"`.
    classes: number of classes.
    classifier_activation: activation of the last layer; `None` gives logits.
    blocks: number of layers of each block.
    growth_rate: maps that each layer adds.
    dropout_rate: rate of dropout after every convolution of a block or transition.
    memory_efficient: recompute concatenations and normalisations in the backward
        pass instead of keeping them.
    name: name of the model.

Returns:
    A `keras.Model`.

Raises:
    ValueError: for an image that is too small, or weights that do not fit.
    ConnectionError: in one line, where a file cannot be fetched within 10 s.

Example:

```python
import numpy as np
from kzoo.applications import {title}

# The full network is {title}(); fewer layers serve for a test.
model = {title}(blocks=(1, 1, 1, 1), growth_rate=4, classes=5, input_shape=(32, 32, 3))
assert model(np.zeros((2, 32, 32, 3), "float32")).shape == (2, 5)
```

The network is that of `keras.applications`, whose weights fit, but starts as
published: kernels from an untruncated normal of variance 2 / (size^2 * filters),
momentum 0.9 of the moving statistics.
"""


def _official(title, include_top):
    end = "" if include_top else "_notop"
    return f"{title.lower()}_weights_tf_dim_ordering_tf_kernels{end}.h5"


def _constructor(title):
    """The constructor of one variant, registered."""
    variant, default_name = VARIANTS[title], title.lower()

    def constructor(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=_CLASSES,
        classifier_activation="softmax",
        *,
        blocks=variant["blocks"],
        growth_rate=variant["growth_rate"],
        dropout_rate=0.0,
        memory_efficient=False,
        name=default_name,
    ):
        model = _densenet.imagenet(
            blocks=blocks,
            growth_rate=growth_rate,
            block={"dropout_rate": dropout_rate, "memory_efficient": memory_efficient},
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
            name=name,
        )
        _load(model, weights, title, include_top, classes)
        return model

    constructor.__name__ = constructor.__qualname__ = title
    constructor.__doc__ = _document(title, variant)
    published = variant["parameters"]
    return register(
        "application",
        paper="arXiv:1608.06993",
        aliases=(title.replace("DenseNet", "DenseNet-"),),
        tiny={
            "args": {"blocks": (1, 1, 1, 1), "growth_rate": 4, "classes": 5},
            "input_shape": (32, 32, 3),
        },
        parameters=[({}, published)] if published else [],
        stages=4,
        min_size=32,
    )(constructor)


def _document(title, variant):
    official = _official(title, True) in _MD5
    return _DOC.format(
        title=title,
        layers=2 * sum(variant["blocks"]) + 5,
        blocks=", ".join(map(str, variant["blocks"])),
        weights='`weights="imagenet"` fetches Keras\' file' if official else "to be trained",
        names='`"imagenet"`, ' if official else "",
        source="" if title != "DenseNet264" else "; this variant is of the extended report",
    )


DenseNet121 = _constructor("DenseNet121")
DenseNet161 = _constructor("DenseNet161")
DenseNet169 = _constructor("DenseNet169")
DenseNet201 = _constructor("DenseNet201")
DenseNet264 = _constructor("DenseNet264")


def preprocess_input(x, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """Images of [0, 255] to [0, 1], then standardised with the statistics of ImageNet.

    Args:
        x: array or tensor `(..., height, width, channels)`; it is not changed.
        mean: one number a channel, or one for all.
        std: the same for the standard deviation.
    """
    return _common.preprocess(x, mean, std)


def decode_predictions(predictions, class_names=None, top=5):
    """The most probable classes of each image, best first.

    Args:
        predictions: `(batch, classes)`: probabilities, or any score.
        class_names: one name a class. By default those of ImageNet, whose list is
            fetched once; then a name is a pair `(WordNet id, name)` as in Keras.
        top: how many classes to give.

    Returns:
        For each image a list of `(index, name, score)`; for ImageNet of
        `(WordNet id, name, score)`.

    Raises:
        ValueError: where the names are not as many as the columns.
        ConnectionError: where the list cannot be fetched within 10 s.
    """
    if class_names is not None:
        return _common.decode_predictions(predictions, class_names, top)
    index = _imagenet_index()
    decoded = _common.decode_predictions(predictions, [name for _, name in index], top)
    return [[(index[i][0], name, score) for i, name, score in row] for row in decoded]


def _imagenet_index():
    """`(WordNet id, name)` of the 1000 classes."""
    from kzoo import pretrained

    try:
        path = pretrained.download(_INDEX_URL, md5=_INDEX_MD5)
    except OSError as error:
        raise ConnectionError(
            f"The names of the ImageNet classes could not be fetched: {error} "
            "Or give `class_names`."
        ) from None
    index = json.loads(path.read_text())
    return [tuple(index[str(i)]) for i in range(_CLASSES)]


def _load(model, weights, title, include_top, classes):
    from kzoo import pretrained

    file = _official(title, include_top)
    if weights == "imagenet" and file in _MD5:
        if include_top and classes != _CLASSES:
            raise ValueError(
                f'{title}(weights="imagenet") has {_CLASSES} classes. Use include_top=False for '
                f"your own. Received: classes={classes}"
            )
        load_keras_file(model, pretrained.download(_SOURCE + file, md5=_MD5[file]))
    elif weights is not None and is_keras_file(weights):
        load_keras_file(model, weights)
    else:
        _common.load_weights(model, weights, name=title)
