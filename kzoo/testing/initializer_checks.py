"""The battery of initialisers."""

import keras
import numpy as np

from kzoo.registry import Entry
from kzoo.testing.battery import Skip, check, expect
from kzoo.testing.subjects import expect_finite, make, numpy, own_arguments, same


@check("initializer")
def values_shape_and_dtype(entry: Entry) -> None:
    """The values have the shape and dtype that were asked for and are finite."""
    shape = tuple(entry.tiny["shape"])
    for dtype in ("float32", "float16"):
        value = numpy(make(entry)(shape, dtype=dtype))
        expect(value.shape == shape, f"Shape {value.shape} instead of {shape}.")
        expect(value.dtype == dtype, f"Values in {value.dtype} instead of {dtype}.")
        expect_finite(value, f"Values in {dtype}")


@check("initializer")
def seeds(entry: Entry) -> None:
    """The same seed gives the same values, another seed other values."""
    if "seed" not in own_arguments(entry.target):
        raise Skip("takes no seed")
    shape = tuple(entry.tiny["shape"])
    first, again, other = (make(entry, seed=seed)(shape) for seed in (11, 11, 12))
    expect(same(first, again), "The same seed gives other values.")
    expect(not same(first, other), "Another seed gives the same values.")


@check("initializer")
def moments(entry: Entry) -> None:
    """Mean and variance are the declared ones, within five standard errors."""
    shape = tuple(entry.tiny["shape"])
    draws = range(max(1, 20_000 // int(np.prod(shape))))
    seeded = "seed" in own_arguments(entry.target)
    made = (make(entry, seed=1000 + i) if seeded else make(entry) for i in draws)
    value = np.stack([numpy(initializer(shape)) for initializer in made]).astype("float64")
    for name, found in (("mean", value.mean()), ("variance", value.var())):
        if name in entry.facts:
            expected = entry.facts[name](shape)
            error = {"mean": value.std(), "variance": value.var() * 2**0.5}[name]
            limit = 5 * error / value.size**0.5 + 1e-7
            expect(
                abs(found - expected) <= limit,
                f"The {name} is {found:.4g}; {expected:.4g} +- {limit:.2g} is declared.",
            )


@check("initializer")
def usable_in_layers(entry: Entry) -> None:
    """A Keras layer takes it, and keeps it in its configuration."""
    layer = keras.layers.Dense(4, kernel_initializer=make(entry))
    layer.build((None, 6))
    expect_finite(layer.kernel, "A kernel")
    revived = keras.layers.Dense.from_config(layer.get_config())
    expect(
        type(revived.kernel_initializer) is entry.target,
        f"A restored layer has {type(revived.kernel_initializer)} as initialiser.",
    )
