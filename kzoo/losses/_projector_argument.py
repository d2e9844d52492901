"""The argument `projector` of a loss: the name of what is inferred, `None`, or a layer."""

import keras


def restored(projector):
    """The argument as it was given; a layer that was saved is a layer again."""
    is_config = isinstance(projector, dict)
    return keras.saving.deserialize_keras_object(projector) if is_config else projector


def read(projector, inferred):
    """The same, checked.

    Args:
        projector: what the user, or a saved loss, gave.
        inferred: the one name that is allowed.

    Raises:
        ValueError: for anything but that name, `None` and layers.
    """
    projector = restored(projector)
    if not isinstance(projector, keras.layers.Layer) and projector not in (inferred, None):
        raise ValueError(
            f"`projector` must be {inferred!r}, None or a Keras layer. "
            f"Received: projector={projector!r}"
        )
    return projector


def written(projector):
    """The argument as `get_config` returns it."""
    is_layer = isinstance(projector, keras.layers.Layer)
    return keras.saving.serialize_keras_object(projector) if is_layer else projector
