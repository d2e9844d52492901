"""Dense highway network."""

import keras

from kzoo.applications import _common
from kzoo.applications._common import decode_predictions
from kzoo.layers.highway_dense import HighwayDense
from kzoo.registry import register

__all__ = ["HighwayNet", "decode_predictions", "preprocess_input"]


@register(
    "application",
    paper="arXiv:1505.00387",
    aliases=("Highway-Dense",),
    tiny={"args": {"depth": 4, "width": 8}, "input_shape": (8, 8, 1)},
    parameters=[({}, 80_560), ({"depth": 100}, 539_560)],
    stages=1,
    min_size=1,
)
def HighwayNet(
    depth=10,
    width=50,
    activation="relu",
    transform_bias=-1.0,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="highway_net",
):
    """A deep dense network of highway layers.

    Use it to train dense networks of tens of layers with plain SGD, or to study how
    depth alone changes training. Its `.keras` file needs `import kzoo` to load.

    Reference:
        Rupesh Kumar Srivastava, Klaus Greff, Jürgen Schmidhuber. Highway Networks. ICML
        Deep Learning Workshop 2015. arXiv:1505.00387.

    A plain dense layer brings the flattened image to `width` units; then come
    `depth - 2` highway layers y = H(x) T(x) + x (1 - T(x)), then the classifier.

    Taps: `stem` is the plain layer after its activation, `stage1` the end of the
    highway layers. Both are vectors. `pooled` is the vector that the classifier reads,
    so it equals `stage1`: this network has no global pooling. The inner highway layers
    are `highway1`, `highway2`, ... Then `logits`, `predictions`.

    Args:
        depth: number of layers, at least 3: one plain, the highway layers, the classifier.
        width: units of each layer.
        activation: activation of the plain layer and of the transforms.
        transform_bias: initial bias of the gates; the deeper, the more negative.
        include_top: whether to end with the classifier. Without it the model ends with
            the vector `pooled`.
        weights: `None`, the name of a recorded run or the path of a `.weights.h5` file.
        input_tensor: a `KerasTensor` to build on.
        input_shape: `(height, width, channels)`; `(28, 28, 1)` by default.
        pooling: `None`, `"avg"` or `"max"`; without effect, because there is no map.
        classes: number of classes.
        classifier_activation: activation of the last layer; `None` gives logits.
        name: name of the model.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: for a wrong depth or width, an open height or width of the image, or
            weights that do not fit.

    Example:

    ```python
    import numpy as np
    from kzoo.applications import HighwayNet

    model = HighwayNet(depth=10, width=50)
    assert model(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert model.count_params() == 80_560
    ```

    The paper chooses activation, bias, learning rate and momentum by random search for
    each depth; the defaults here are the ReLU and the bias of the authors' MNIST example.
    """
    top = {"classes": classes, "classifier_activation": classifier_activation}
    _common.check_top(pooling=pooling, **top)
    _check(depth, width)
    x, inputs = _common.image_input(
        input_shape,
        input_tensor,
        default_shape=(28, 28, 1),
        min_size=1,
        include_top=include_top,
        static=True,
    )
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(width, name="stem_dense")(x)
    x = keras.layers.Activation(activation, name="stem")(x)
    for i in range(1, depth - 1):
        layer_name = "stage1" if i == depth - 2 else f"highway{i}"
        x = HighwayDense(activation, transform_bias, name=layer_name)(x)
    x = keras.layers.Identity(name="pooled")(x)
    if include_top:
        x = _common.classify(x, **top)
    model = keras.Model(inputs, x, name=name)
    _common.load_weights(model, weights, name="HighwayNet")
    return model


def preprocess_input(x, mean=0.0, std=1.0):
    """Images of [0, 255] to [0, 1], then `(x - mean) / std`.

    Args:
        x: array or tensor `(..., height, width, channels)`; it is not changed.
        mean: one number, or one a channel. For weights that were recorded by kzoo give
            `dataset.spec.mean`.
        std: the same for the standard deviation.
    """
    return _common.preprocess(x, mean, std)


def _check(depth, width):
    if not isinstance(depth, int) or depth < 3:
        raise ValueError(f"`depth` must be an integer of at least 3. Received: depth={depth!r}")
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"`width` must be a positive integer. Received: width={width!r}")
