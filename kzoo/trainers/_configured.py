"""Configurations of trainers whose constructor's arguments are kept as attributes."""

import keras
import numpy as np


class Configured:
    """Gives `get_config` and `from_config` for the attributes named in `configured`.

    Models, losses and schedules among them, also in lists and dicts, are serialised.
    """

    configured = ()

    def get_config(self):
        """The constructor's arguments."""
        own = {name: _serialized(getattr(self, name)) for name in self.configured}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        config = dict(config)
        # Arrays are put in by a subclass that stores them elsewhere.
        for name in (n for n in cls.configured if not isinstance(config[n], np.ndarray)):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**config)


def _serialized(value):
    if isinstance(value, list | tuple):
        return [_serialized(one) for one in value]
    if isinstance(value, dict):
        return {key: _serialized(one) for key, one in value.items()}
    if hasattr(value, "get_config"):
        return keras.saving.serialize_keras_object(value)
    return value
