"""Checks of configurations, shared by layers, losses, initialisers and schedules."""

import json
from typing import Any

import keras

from kzoo.registry import Entry
from kzoo.testing.battery import check, expect
from kzoo.testing.subjects import make, own_arguments, variations


@check("layer", "loss", "initializer", "schedule")
def config_round_trip(entry: Entry) -> None:
    """`get_config` holds every own argument, is JSON, and `from_config` restores it."""
    base = make(entry).get_config()
    missing = [name for name in own_arguments(entry.target) if name not in base]
    expect(not missing, f"get_config() has no {', '.join(missing)}.")
    _expect_restored(entry, make(entry))
    for name, changed in variations(entry):
        instance = entry.target(**changed)
        kept = instance.get_config()[name]
        expect(
            kept != base[name],
            f"get_config() gives {name}={kept!r} although {name}={changed[name]!r} was passed.",
        )
        _expect_restored(entry, instance)


@check("layer", "loss", "initializer", "schedule")
def registered(entry: Entry) -> None:
    """Keras finds the class again by its registered name."""
    instance = make(entry)
    config = keras.saving.serialize_keras_object(instance)
    revived = keras.saving.deserialize_keras_object(config)
    expect(
        type(revived) is entry.target,
        f"Keras revives {type(revived)}, not {entry.target}: put "
        "@keras.saving.register_keras_serializable above the class.",
    )


def _expect_restored(entry: Entry, instance: Any) -> None:
    config = instance.get_config()
    text = json.dumps(config, sort_keys=True)
    revived = entry.target.from_config(json.loads(text)).get_config()
    found = json.loads(json.dumps(revived, sort_keys=True))
    for name, value in json.loads(text).items():
        expect(name in found, f"The config of the restored object has no {name}.")
        expect(
            found[name] == value,
            f"from_config restores {name}={found[name]!r} instead of {value!r}.",
        )
