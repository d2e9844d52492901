"""The float32 twin of a model that computes in half precision."""

import keras

_HALF = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def in_float32(model):
    """The model itself, or one with the same weights where it computes in half precision.

    LiteRT has no half precision convolutions, and ONNX engines round in their own
    ways. The weights of a mixed precision model are float32 anyway.
    """
    config, changed = _replace(model.get_config())
    if not changed:
        return model
    twin = type(model).from_config(config)
    twin.set_weights(model.get_weights())
    return twin


def _replace(value):
    """`(value, whether it changed)` with every half precision policy set to float32."""
    if isinstance(value, keras.DTypePolicy):
        return ("float32", True) if value.name in _HALF else (value, False)
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy":
            return ("float32", True) if value["config"]["name"] in _HALF else (value, False)
        parts = {key: _replace(part) for key, part in value.items()}
        return {k: part for k, (part, _) in parts.items()}, any(c for _, c in parts.values())
    if isinstance(value, list | tuple):
        parts = [_replace(part) for part in value]
        return type(value)(part for part, _ in parts), any(changed for _, changed in parts)
    return value, False
