"""Specialists as copies of a generalist, and what both must be."""

import math

import keras
import numpy as np

from kzoo.trainers._combination import dustbin_odds
from kzoo.trainers._networks import check_softmax, gives_probabilities


def check_generalist(generalist):
    """Refuse what is no built classifier with one input and a graph; returns its classes."""
    graph = isinstance(generalist, keras.Model) and bool(getattr(generalist, "inputs", None))
    if not graph or len(generalist.inputs) != 1 or len(generalist.outputs) != 1:
        raise ValueError(
            "`generalist` must be a trained functional or Sequential keras.Model with one input "
            f"and one output. Received: generalist={generalist!r}"
        )
    shape = generalist.outputs[0].shape
    if len(shape) != 2:
        raise ValueError(
            "`generalist` must be a classifier with outputs (batch, classes). "
            f"Received: outputs of shape {tuple(shape)}"
        )
    check_softmax(generalist)
    return shape[-1]


def check_groups(groups, classes):
    """Refuse groups with a class that there is not, or with all that there are."""
    for group in groups:
        if max(group) >= classes:
            raise ValueError(
                f"`groups` names class {max(group)}, but the generalist has {classes} classes, 0 "
                f"to {classes - 1}. Received: {group}"
            )
        if len(group) == classes:
            raise ValueError(
                "A group must leave out a class, for the specialist's dustbin. Received a group "
                f"of all {classes} classes: {group}"
            )


def check_counts(class_counts, groups, classes):
    """Images of each class as a list of numbers; `None` stays."""
    if class_counts is None:
        return None
    counts = np.asarray(class_counts, "float64")
    if counts.shape != (classes,) or counts.min() < 0:
        raise ValueError(
            f"`class_counts` must hold the number of training images of each of {classes} classes, "
            f"for example np.bincount(labels). Received: class_counts={class_counts!r}"
        )
    for group in groups:
        if not 0 < counts[list(group)].sum() < counts.sum():
            raise ValueError(
                "`class_counts` must have images in each group and outside of it. Received none "
                f"for the group {group}: class_counts={class_counts!r}"
            )
    return counts.tolist()


def check_specialists(specialists, generalist, groups):
    """Refuse specialists that do not fit their groups; returns them as a list."""
    found = list(specialists)
    if len(found) != len(groups) or not all(isinstance(m, keras.Model) for m in found):
        raise ValueError(
            f"`specialists` must be a list of {len(groups)} keras.Model, one for each group. "
            f"Received: specialists={specialists!r}"
        )
    names = [model.name for model in (generalist, *found)]
    variables = [v for model in (generalist, *found) for v in model.variables]
    if len(set(names)) < len(names) or len({id(v) for v in variables}) < len(variables):
        raise ValueError(
            "`generalist` and `specialists` must be models of different names without common "
            f"variables. Received: {names}"
        )
    ends = gives_probabilities(generalist)
    for model, group in zip(found, groups, strict=True):
        if not model.built:
            model.build(generalist.input_shape)
        shape = model.compute_output_shape(generalist.input_shape)
        if tuple(shape)[1:] != (len(group) + 1,) or gives_probabilities(model) != ends:
            raise ValueError(
                f"The specialist {model.name!r} of the group {group} must have {len(group) + 1} "
                "outputs, one for each class of the group in its order and the last for all "
                f"others, and end with {'a softmax' if ends else 'logits'} as the generalist does. "
                f"Received: outputs of shape {tuple(shape)}"
            )
    return found


def copies(generalist, groups, class_counts, names):
    """A specialist for each group; see `specialist`."""
    odds = dustbin_odds(groups, class_counts or [1] * generalist.outputs[0].shape[-1])
    return [
        specialist(generalist, group, one, f"{generalist.name}_{name}")
        for group, one, name in zip(groups, odds, names, strict=True)
    ]


def specialist(generalist, group, odds, name):
    """A copy of the generalist that tells apart the classes of a group and all others.

    Logits of the group's classes are the generalist's. That of the dustbin is what one logit for
    the other n classes should be, the logarithm of the sum of their exponentials, to first order
    where they are equal: their mean + log n, less the log of the odds that inference adds.

    Args:
        generalist: a functional or `Sequential` model whose last weights are those of a `Dense`.
        group: the classes.
        odds: see `dustbin_odds`.
        name: of the copy.

    Raises:
        ValueError: where the generalist ends otherwise.
    """
    last = next((layer for layer in reversed(generalist.layers) if layer.weights), None)
    if not isinstance(last, keras.layers.Dense) or last.units != generalist.outputs[0].shape[-1]:
        raise ValueError(
            "Specialists are copies of a generalist that ends with a Dense layer of one unit a "
            f"class. Received: {generalist.name!r}, whose last layer with weights is "
            f"{last and last.name!r} ({type(last).__name__}). Give `specialists`."
        )

    def copied(layer):
        config = layer.get_config()
        config |= {"units": len(group) + 1} if layer is last else {}
        return type(layer).from_config(config)

    copy = keras.models.clone_model(generalist, clone_function=copied)
    for layer in generalist.layers:
        if layer.weights:
            weights = layer.get_weights()
            weights = _columns(weights, group, odds) if layer is last else weights
            copy.get_layer(layer.name).set_weights(weights)
    # All is trained, also where the generalist was frozen.
    for layer in copy._flatten_layers():
        layer.trainable = True
    inputs = copy.input if isinstance(copy, keras.Function) else copy.inputs[0]
    return keras.Model(inputs, copy.outputs[0], name=name)


def _columns(weights, group, odds):
    """Kernel and bias of a specialist's classifier out of the generalist's."""
    group = list(group)
    others = np.setdiff1d(np.arange(weights[0].shape[-1]), group)
    means = [weight[..., others].mean(axis=-1, keepdims=True) for weight in weights]
    if len(weights) > 1:
        means[1] = means[1] + math.log(len(others)) - math.log(odds)
    pairs = zip(weights, means, strict=True)
    return [np.concatenate([weight[..., group], mean], axis=-1) for weight, mean in pairs]
