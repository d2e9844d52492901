"""From the sections of a recipe to Keras objects."""

import dataclasses
import inspect

import keras

from kzoo import data, registry


def dataset(section):
    """The data set of a data section."""
    return data.load(
        section.name,
        validation_fraction=section.validation_fraction,
        train_size=section.train_size,
        seed=section.seed,
    )


def model(section, spec) -> keras.Model:
    """The classifier of a model section for a data set.

    Raises:
        ValueError: where the constructor refuses the arguments.
    """
    constructor = registry.get("application", section.name).target
    arguments = {"input_shape": spec.image_shape, "classes": spec.classes, **section.args}
    try:
        return constructor(**arguments)
    except TypeError as error:
        raise ValueError(f"[model] {section.name}: {error}") from None


def loss(section, clock):
    """The distillation loss of a loss section.

    Raises:
        ValueError: where the constructor refuses the arguments.
    """
    constructor = registry.get("loss", section.name).target
    arguments = dict(section.args)
    if "weight" in arguments:
        arguments["weight"] = weight(arguments["weight"], clock)
    samples = inspect.signature(constructor).parameters.get("num_samples")
    # Where it has a default it is no size of the data set, but of a part of a batch.
    if samples is not None and samples.default is samples.empty:
        arguments.setdefault("num_samples", clock.samples)
    try:
        return constructor(**arguments)
    except TypeError as error:
        raise ValueError(f"the loss {section.name}: {error}") from None


def unlabelled(name, spec):
    """The training images of another data set, in the shape of this one's, normalised on their own.

    Raises:
        ValueError: where the number of channels differs.
    """
    other = data.load(name)
    images = other.arrays("train")[0]
    if other.spec.image_shape[-1] != spec.image_shape[-1]:
        raise ValueError(
            f"images = {name!r} have {other.spec.image_shape[-1]} channels, those of the recipe "
            f"{spec.image_shape[-1]}. Give another data set."
        )
    resized = keras.ops.image.resize(images, spec.image_shape[:2], antialias=True)
    return keras.ops.convert_to_numpy(resized)


def scheduled(value, clock):
    """An argument as it is; of a dict with a `schedule`, the schedule; see `weight`."""
    return weight(value, clock) if isinstance(value, dict) and "schedule" in value else value


def weight(value, clock):
    """A number as it is; of `{ schedule = "WarmUp", peak = 8.0, epochs = 20 }` the schedule.

    `epochs` is how long the change takes, all epochs where it is absent; within an epoch the
    weight is held, unless `every` gives other steps.
    """
    if not isinstance(value, dict):
        return value
    arguments = dict(value)
    constructor = registry.get("schedule", arguments.pop("schedule", "")).target
    steps = int(arguments.pop("epochs", clock.epochs)) * clock.steps
    known = {"steps": steps, "every": clock.steps}
    known = {k: v for k, v in known.items() if k in inspect.signature(constructor).parameters}
    try:
        return constructor(**{**known, **arguments})
    except TypeError as error:
        raise ValueError(f"the schedule of a weight: {error}") from None


@dataclasses.dataclass(frozen=True)
class Clock:
    """How long a training is.

    Attributes:
        epochs: of `fit`.
        steps: of an epoch.
        samples: training images.
    """

    epochs: int
    steps: int
    samples: int


def sampler(section, batch_size):
    """The sampler of a sampler section; `None` for `None`.

    Raises:
        ValueError: where it refuses its arguments.
    """
    if section is None:
        return None
    constructor, arguments = getattr(data, section.name), dict(section.args)
    if "batch_size" in inspect.signature(constructor).parameters:
        arguments["batch_size"] = batch_size
    try:
        return constructor(**arguments)
    except TypeError as error:
        raise ValueError(f"the sampler {section.name}: {error}") from None


def callbacks(sections, folder, rate):
    """The callbacks of a method; they keep files in `folder`.

    Raises:
        ValueError: where one refuses its arguments.
    """
    made = []
    for section in sections:
        constructor = registry.get("callback", section.name).target
        asked = inspect.signature(constructor).parameters
        known = {"folder": folder / section.name, "learning_rate": rate}
        known = {name: value for name, value in known.items() if name in asked}
        try:
            made.append(constructor(**{**known, **section.args}))
        except TypeError as error:
            raise ValueError(f"the callback {section.name}: {error}") from None
    return made


def optimizer(section, *, epochs: int, steps: int) -> keras.optimizers.Optimizer:
    """The optimiser for `epochs` of `steps` updates each."""
    rate = learning_rate(section, epochs=epochs, steps=steps)
    if section.name == "Adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=section.momentum, nesterov=section.nesterov)


def learning_rate(section, *, epochs: int, steps: int):
    """The learning rate as a function of the update: constant, cosine or step."""
    schedules, total = keras.optimizers.schedules, epochs * steps
    peak, warmup = section.learning_rate, section.warmup_epochs * steps
    if section.schedule == "cosine":
        if not warmup:
            return schedules.CosineDecay(peak, total)
        return schedules.CosineDecay(
            peak / steps, max(total - warmup, 1), warmup_target=peak, warmup_steps=warmup
        )
    if section.schedule == "step":
        return schedules.PiecewiseConstantDecay(
            [total // 2, total * 3 // 4], [peak, peak / 10, peak / 100]
        )
    return peak


def add_weight_decay(classifier: keras.Model, rate: float) -> None:
    """Coupled weight decay on the kernels, as the papers do it.

    The papers' `rate` adds `rate * w` to the gradient of w before momentum:
    the gradient of an L2 penalty of `rate / 2`. The `weight_decay` of Keras'
    optimisers is decoupled and about ten times weaker under momentum 0.9.
    """
    if rate:
        penalty = keras.regularizers.L2(rate / 2)
        for variable in classifier.trainable_variables:
            if variable.name.endswith("kernel"):
                variable.regularizer = penalty
