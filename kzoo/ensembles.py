"""Several classifiers as one."""

import keras

from kzoo import taps
from kzoo.taps._trace import symbolic_inputs


def mean_of(models: list[keras.Model], name: str = "ensemble") -> keras.Model:
    """A plain Keras model that gives the mean of the probabilities of several classifiers.

    Use it for networks that were trained apart or together. It is saved, evaluated and exported
    like any of them, and holds their weights, not copies. Its log-likelihood is never below the
    mean of its members' (Jensen); its accuracy may be.

    Args:
        models: classifiers with the same input and the same classes in the same order. Each gives
            probabilities, or logits, which a softmax (a sigmoid, where there is one) turns
            into probabilities.
        name: of the new model.

    Returns:
        A `keras.Model` whose output has the shape of one member's, in float32.

    Raises:
        ValueError: for no models, for what is no classifier, and for different classes.

    Example:

    ```python
    import numpy as np
    import kzoo

    first, second = (kzoo.applications.LeNet5(input_shape=(12, 12, 1), name=n) for n in "ab")
    both = kzoo.ensembles.mean_of([first, second])
    print(both.predict(np.random.rand(2, 12, 12, 1), verbose=0).shape)  # (2, 10)
    ```
    """
    models = list(models)
    if not models:
        raise ValueError("`models` must hold one classifier or more. Received: none")
    activations = [_activation(model) for model in models]
    classes = {model.output_shape[-1] for model in models}
    if len(classes) > 1:
        raise ValueError(
            f"`models` must have the same number of classes. Received: {sorted(classes)}"
        )
    inputs = _inputs_of(models[0])
    outputs, names = [], [model.name for model in models]
    for number, (model, activation) in enumerate(zip(models, activations, strict=True), start=1):
        if names.count(model.name) > 1:  # Keras wants each name once in a model
            own = _inputs_of(model)
            model = keras.Model(own, model(own), name=f"{model.name}_{number}")
        found = keras.tree.flatten(model(inputs))[0]
        if activation:
            layer = keras.layers.Activation(
                activation, dtype="float32", name=f"probabilities_{number}"
            )
            found = layer(found)
        outputs.append(found)
    mean = keras.layers.Average(dtype="float32", name="mean")(outputs)
    return keras.Model(inputs, mean, name=name)


def _inputs_of(model):
    return keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name),
        symbolic_inputs(model),
    )


def _activation(model):
    """What turns the outputs into probabilities, `None` where they are."""
    known = isinstance(model, keras.Function | keras.Sequential) and model.built
    names = taps.available(model) if known else ()
    if "logits" not in names or len(model.outputs) != 1:
        shape = f" with outputs of shape {model.output_shape}" if known else ""
        raise ValueError(
            "An ensemble takes the mean of probabilities, so each network must be a functional or "
            "Sequential keras.Model that gives one vector of probabilities or logits an image. "
            f"Received: {model!r}{shape}"
        )
    if "predictions" in names:
        return None
    return "sigmoid" if model.outputs[0].shape[-1] == 1 else "softmax"
