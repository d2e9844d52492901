"""The mean of several snapshots of a classifier, as one Keras model."""

import keras

from kzoo import taps
from kzoo.taps._trace import symbolic_inputs


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
    outputs, activation = [], _activation(network)
    inputs = keras.tree.map_structure(_input_like, symbolic_inputs(network))
    for number, values in enumerate(snapshots, start=1):
        member = keras.models.clone_model(network)
        member.name = f"snapshot_{number}"
        member.set_weights(values)
        found = keras.tree.flatten(member(inputs))[0]
        if activation:
            layer = keras.layers.Activation(
                activation, dtype="float32", name=f"probabilities_{number}"
            )
            found = layer(found)
        outputs.append(found)
    mean = keras.layers.Average(dtype="float32", name="mean")(outputs)
    return keras.Model(inputs, mean, name=name)


def _input_like(tensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def _activation(network):
    """What turns the outputs into probabilities, `None` where they are."""
    copied = isinstance(network, keras.Function | keras.Sequential) and network.built
    if not copied or len(network.outputs) != 1:
        raise ValueError(
            "An ensemble is made of copies of a functional or Sequential keras.Model with one "
            f"output. Received: {network!r}. Average the predictions with each of `snapshots` "
            "yourself (model.set_weights)."
        )
    names = taps.available(network)
    if "logits" not in names:
        raise ValueError(
            "An ensemble takes the mean of probabilities, so the network must give one "
            f"vector of probabilities or logits an image. Received: {network.name!r} with outputs "
            f"of shape {tuple(network.outputs[0].shape)}"
        )
    if "predictions" in names:
        return None
    return "sigmoid" if network.outputs[0].shape[-1] == 1 else "softmax"
