"""What the highway layers share: the gate's own initialiser, and its width."""

import keras


def gate_initializer(initializer):
    """An initialiser like `initializer` that draws other values.

    A Keras initialiser gives the same values at every call, so transform and gate
    would start with equal kernels if they shared one.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    seed = config.get("seed")
    if isinstance(seed, dict):  # a SeedGenerator, which draws anew at each call
        return initializer
    if seed is not None:
        config["seed"] = seed + 1
    return type(initializer).from_config(config)


def channels_of(input_shape, axis, layer):
    """The size of the channel axis; raise where it is unknown."""
    if input_shape[axis] is None:
        raise ValueError(
            f"{layer} gives as many features as it gets, so it must know their number. "
            f"Give it in the input shape. Received: input_shape={input_shape}"
        )
    return input_shape[axis]
