"""Where the images of a data-free method come from: a generator, noise, or given ones."""

import keras
import numpy as np
from keras import ops

from kzoo.taps._trace import symbolic_inputs
from kzoo.trainers._generator import check_generator, default_generator, fits
from kzoo.trainers._state import call_unchanged

GENERATED, NOISE = "generated", "noise"
_STORED = "images"


def image_source(images, generator, latent, image_shape, variant, filters):
    """What draws the images of a batch.

    Args:
        images: `"generated"`, `"noise"` or an array.
        generator: a Keras model, or `None` for the default one.
        latent: length of its latent vectors.
        image_shape: what the teacher takes, `None` where it is open.
        variant: of the default generator.
        filters: of the default generator.

    Returns:
        An object with `draw(count, seed, training)`, the `image_shape` that it makes, the
        `generator` and the `pool` of given images, each `None` where there is none.

    Raises:
        ValueError: where the images would not fit the teacher.
    """
    word = images if isinstance(images, str) else None
    if word not in (None, GENERATED, NOISE) or images is None:
        raise ValueError(_expected(image_shape, f"images={images!r}"))
    if word != GENERATED and generator is not None:
        raise ValueError(
            "`generator` makes the images where images='generated'; other images need none. "
            f"Received: generator {getattr(generator, 'name', generator)!r} with "
            f"images={word or type(images).__name__!r}. Leave one of them out."
        )
    if word == GENERATED:
        if generator is None:
            generator = default_generator(latent, image_shape, variant, filters)
        return Generated(generator, latent, image_shape)
    return Noise(image_shape) if word == NOISE else ImagePool(images, image_shape)


def image_shape_of(model, argument="teacher"):
    """What a model takes, without batch; `None` where it leaves a size open.

    Raises:
        ValueError: for what is no Keras model with one input of a known shape.
    """
    if not isinstance(model, keras.Model):
        hint = ". Give its `model`." if hasattr(model, "model") else ""
        raise ValueError(
            f"`{argument}` must be a keras.Model. Received: {type(model).__name__}{hint}"
        )
    inputs = symbolic_inputs(model)
    if keras.tree.is_nested(inputs):
        raise ValueError(
            f"`{argument}` must have one input, an image. Received: {model.name!r} with "
            f"{len(keras.tree.flatten(inputs))} inputs."
        )
    return tuple(inputs.shape[1:])


def check_student(student, image_shape):
    """Build the student if it is not; refuse one that takes something else."""
    if isinstance(student, keras.Model) and not student.built:
        student.build((None, *image_shape))
    taken = image_shape_of(student, "student")
    if not fits(taken, image_shape):
        raise ValueError(
            f"Student and teacher must take the same images. Received: student {taken}, images "
            f"for the teacher {image_shape}. Build the student with that input."
        )


class Generated:
    """Images of a generator; a plain object that Keras ignores, as all sources are."""

    pool = None

    def __init__(self, generator, latent, image_shape):
        self.generator, self.latent = generator, latent
        self.image_shape = check_generator(generator, latent, image_shape)

    def draw(self, count, seed, training):
        """Images with gradients by the generator's weights."""
        latent = keras.random.normal((count, self.latent), seed=seed)
        return self.generator(latent, training=training)

    def show(self, count, seed):
        """Images as the student sees them, with the statistics of their batch; nothing changes."""
        latent = keras.random.normal((count, self.latent), seed=seed)
        return call_unchanged(self.generator, latent)


class Noise:
    """Standard normal noise."""

    generator = pool = None

    def __init__(self, image_shape):
        if None in image_shape:
            raise ValueError(
                "Noise needs the size of the images, which the teacher leaves open. Received: "
                f"a teacher that takes {image_shape}. Build it with an input of a fixed size."
            )
        self.image_shape = image_shape

    def draw(self, count, seed, training):
        """Images of noise."""
        return keras.random.normal((count, *self.image_shape), seed=seed)

    def show(self, count, seed):
        """The same."""
        return self.draw(count, seed, False)


class ImagePool:
    """Given images, each drawn from all of them.

    A trainer that freezes the pool carries it in its state, on JAX too, without writing it into
    each checkpoint.
    """

    generator = None

    def __init__(self, images, image_shape):
        images = np.asarray(images)
        if images.ndim < 1 or not len(images) or not fits(images.shape[1:], image_shape):
            raise ValueError(_expected(image_shape, f"an array of shape {images.shape}"))
        images = keras.Variable(images, trainable=False, dtype="float32", name=_STORED)
        self.pool, self.variables = self, [images]
        self.image_shape = tuple(images.shape[1:])

    @property
    def shape(self):
        """That of the array."""
        return tuple(self.variables[0].shape)

    def draw(self, count, seed, training):
        """Some of the images."""
        rows = keras.random.randint((count,), 0, self.shape[0], seed=seed)
        return ops.take(self.variables[0], rows, axis=0)

    def show(self, count, seed):
        """The same."""
        return self.draw(count, seed, False)

    def save(self, store):
        """Put the images into a store of weights."""
        store[_STORED] = ops.convert_to_numpy(self.variables[0])

    def load(self, store):
        """The inverse of `save`; returns what else the store holds."""
        rest = {name: store[name] for name in store.keys()}  # noqa: SIM118 (not a dict)
        self.variables[0].assign(rest.pop(_STORED))
        return rest


def _expected(image_shape, received):
    sizes = ", ".join(map(str, image_shape))
    return (
        f"`images` must be 'generated', 'noise' or an array (count, {sizes}), normalised as the "
        f"teacher's. Received: {received}"
    )
