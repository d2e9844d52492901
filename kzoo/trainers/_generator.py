"""The generator of images that data-free methods use by default, and what any other must fulfil."""

import keras

from kzoo.losses._arguments import check_choice, check_integer

# Of the normalisations behind the two convolutions. The reference code gives 0.8 where it means
# the momentum.
EPSILON = {"paper": 1e-5, "reference": 0.8}
_MOMENTUM = 0.9


def default_generator(latent, image_shape, variant="paper", filters=128):
    """Latent vectors to normalised images of any size, of plain Keras layers.

    Args:
        latent: length of the latent vectors.
        image_shape: `(height, width, channels)`.
        variant: `"paper"`, or `"reference"` for the large epsilon of the reference code.
        filters: of the first maps; behind them half as many.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: for what is no shape of images, an unknown variant, or fewer than 2 filters.
    """
    check_choice("variant", variant, tuple(EPSILON))
    check_integer("generator_filters", filters, low=2)
    if len(image_shape) != 3 or None in image_shape:
        raise ValueError(
            "The default generator makes images (height, width, channels) of a fixed size. The "
            f"teacher takes {tuple(image_shape)}. Give `generator`, a keras.Model from (latent,) "
            "to what the teacher takes."
        )
    height, width, channels = image_shape
    rows, columns = -(-height // 4), -(-width // 4)
    inputs = keras.Input((latent,), name="latent")
    x = keras.layers.Dense(rows * columns * filters, name="dense")(inputs)
    x = keras.layers.Reshape((rows, columns, filters), name="maps")(x)
    x = _normalized(x, "norm0", EPSILON["paper"])
    for number, maps in enumerate((filters, filters // 2), start=1):
        x = keras.layers.UpSampling2D(2, name=f"up{number}")(x)
        # Without bias, which the normalisation would take away again.
        x = _convolution(maps, f"conv{number}", use_bias=False)(x)
        x = _normalized(x, f"norm{number}", EPSILON[variant])
        x = keras.layers.LeakyReLU(0.2, name=f"activation{number}")(x)
    # The last layers in float32, so that the images have as many shades under mixed precision.
    x = _convolution(channels, "conv3", activation="tanh", dtype="float32")(x)
    margins = [(size // 2, size - size // 2) for size in (4 * rows - height, 4 * columns - width)]
    if any(map(any, margins)):
        x = keras.layers.Cropping2D(margins, name="crop")(x)
    x = _normalized(x, "image", EPSILON["paper"], center=False, scale=False, dtype="float32")
    return keras.Model(inputs, x, name="generator")


def check_generator(generator, latent, image_shape):
    """Refuse what does not make the teacher's images of latent vectors; builds the generator.

    Args:
        generator: what was given.
        latent: length of the latent vectors.
        image_shape: what the teacher takes, `None` where it is open.

    Returns:
        The shape of the generator's images.
    """
    if not isinstance(generator, keras.Model):
        raise ValueError(f"`generator` must be a keras.Model. Received: {type(generator).__name__}")
    if not generator.built:
        generator.build((None, latent))
    taken = [tuple(tensor.shape) for tensor in getattr(generator, "inputs", None) or ()]
    if taken and [shape[1:] for shape in taken] != [(latent,)]:
        raise ValueError(
            f"`generator` must take latent vectors of shape (None, {latent}). Received: "
            f"generator {generator.name!r} that takes {taken}. Set latent=, or change its input."
        )
    made = generator.compute_output_spec(keras.KerasTensor((None, latent)))
    if keras.tree.is_nested(made) or not fits(made.shape[1:], image_shape):
        shapes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), made)
        raise ValueError(
            f"`generator` must make what the teacher takes, {(None, *image_shape)}. Received: "
            f"generator {generator.name!r} that makes {shapes}. Change its last layer."
        )
    return tuple(made.shape[1:])


def fits(shape, wanted):
    """Whether a shape is the wanted one, of which sizes may be open."""
    return len(shape) == len(wanted) and all(
        None in pair or pair[0] == pair[1] for pair in zip(shape, wanted, strict=True)
    )


def _convolution(filters, name, **options):
    return keras.layers.Conv2D(filters, 3, padding="same", name=name, **options)


def _normalized(x, name, epsilon, **options):
    layer = keras.layers.BatchNormalization(
        momentum=_MOMENTUM, epsilon=epsilon, name=name, **options
    )
    return layer(x)
