"""The mean of several snapshots of a classifier, as one Keras model."""

import keras

from kzoo import ensembles


def network_of(model):
    """What a snapshot is taken of: a trainer's student or first network, or the model itself."""
    known = dir(model)
    if "student" in known:
        return model.student
    if "classifiers" in known:
        return next(iter(model.classifiers.values()))
    if "models" in known:
        return model.models[0]
    return model


def mean_of(network, snapshots, name):
    """A plain Keras model: the mean of the probabilities of a network with several weights.

    Args:
        network: a functional or `Sequential` model that gives probabilities or logits.
        snapshots: lists of arrays, each in the order of `network.weights`.
        name: of the new model.

    Raises:
        ValueError: for a network that cannot be copied or is no classifier.
    """
    if not isinstance(network, keras.Function | keras.Sequential):
        raise ValueError(
            "An ensemble is made of copies of a functional or Sequential keras.Model. "
            f"Received: {network!r}. Average the predictions with each of `snapshots` yourself "
            "(model.set_weights)."
        )
    members = []
    for number, values in enumerate(snapshots, start=1):
        member = keras.models.clone_model(network)
        member.name = f"snapshot_{number}"
        member.set_weights(values)
        members.append(member)
    return ensembles.mean_of(members, name)
