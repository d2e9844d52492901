"""From the sections of a recipe to Keras objects."""

import keras

from kzoo import registry


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


def trainer(section, student: keras.Model, teacher: keras.Model) -> keras.Model:
    """The trainer of a trainer section around a student and a teacher."""
    constructor = registry.get("trainer", section.name).target
    return constructor(student, teacher, losses=[loss(s) for s in section.losses], **section.args)


def loss(section):
    """The distillation loss of a loss section."""
    constructor = registry.get("loss", section.name).target
    try:
        return constructor(**section.args)
    except TypeError as error:
        raise ValueError(f"[[trainer.losses]] {section.name}: {error}") from None


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
