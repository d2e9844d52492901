"""Several classifiers as one."""

import keras

from kzoo import taps
from kzoo.taps._trace import new_inputs, symbolic_inputs
from kzoo.unique_names import unique_names


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
        ValueError: for no list of models, for what is no classifier, and for different inputs or
            classes.

    Example:

    ```python
    import numpy as np
    import kzoo

    first, second = (kzoo.applications.LeNet5(input_shape=(12, 12, 1), name=n) for n in "ab")
    both = kzoo.ensembles.mean_of([first, second])
    print(both.predict(np.random.rand(2, 12, 12, 1), verbose=0).shape)  # (2, 10)
    ```
    """
    if not isinstance(models, list | tuple) or not models:
        raise ValueError(f"`models` must be a list of classifiers. Received: models={models!r}")
    activations = [_activation(model) for model in models]
    _check_alike(models)
    inputs = new_inputs(models[0])
    # Keras wants each name once in a model.
    taken = [tensor.name for tensor in keras.tree.flatten(inputs)] + ["mean"]
    taken += [f"probabilities_{number}" for number in range(1, len(models) + 1)]
    names, outputs = unique_names([model.name for model in models], taken), []
    members = enumerate(zip(models, names, activations, strict=True), start=1)
    for number, (model, name_in_it, activation) in members:
        if model.name != name_in_it:
            own = new_inputs(model, prefix=f"{name_in_it}_")
            model = keras.Model(own, model(own), name=name_in_it)
        found = keras.tree.flatten(model(inputs))[0]
        if activation:
            layer = keras.layers.Activation(
                activation, dtype="float32", name=f"probabilities_{number}"
            )
            found = layer(found)
        outputs.append(found)
    mean = keras.layers.Average(dtype="float32", name="mean")(outputs)
    return keras.Model(inputs, mean, name=name)


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


def _check_alike(models):
    """Refuse other inputs or classes; open sizes fit any."""
    shapes = [[t.shape[1:] for t in keras.tree.flatten(symbolic_inputs(m))] for m in models]
    fit = all(_fit(one, shapes[0]) for one in shapes)
    classes = [model.output_shape[-1] for model in models]
    if not fit or len(set(classes)) > 1:
        raise ValueError(
            "`models` must have the same input and the same classes. Received: "
            + "; ".join(
                f"{m.name!r} with input {', '.join(map(str, one))} and {count} classes"
                for m, one, count in zip(models, shapes, classes, strict=True)
            )
        )


def _fit(shapes, others):
    sizes = [sum(map(tuple, given), ()) for given in (shapes, others)]
    same_ranks = [*map(len, shapes)] == [*map(len, others)]
    return same_ranks and all(
        None in pair or len(set(pair)) == 1 for pair in zip(*sizes, strict=True)
    )
