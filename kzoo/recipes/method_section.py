"""One of several ways to train a recipe's model, side by side."""

import inspect
from typing import Annotated, Any

import pydantic

from kzoo import data, registry
from kzoo.recipes.sections import LossSection, ModelSection, OptimizerSection, Schedule, Section

_Positive = Annotated[int, pydantic.Field(gt=0)]


class CallbackSection(Section):
    """One callback of the zoo."""

    name: str = pydantic.Field(description="callback, for example SnapshotEnsemble")
    args: dict[str, Any] = pydantic.Field({}, description="constructor arguments")

    @pydantic.field_validator("name")
    @classmethod
    def _known(cls, value):
        return registry.get("callback", value).name


class SamplerSection(Section):
    """What chooses the images of a batch."""

    name: str = pydantic.Field(description="sampler, for example SameClassPairs")
    args: dict[str, Any] = pydantic.Field({}, description="arguments beside batch_size")

    @pydantic.field_validator("name")
    @classmethod
    def _known(cls, value):
        known = [name for name in data.__all__ if hasattr(getattr(data, name), "order")]
        if value not in known:
            raise ValueError(f"unknown sampler {value!r}. {registry.suggest(value, known)}")
        return value


class MethodSection(Section):
    """One of several ways to train the model, side by side under the same budget."""

    name: str = pydantic.Field(description="the row of the tables", pattern=r"[^\W_]")
    trainer: str | None = pydantic.Field(
        None, description="trainer; Distiller where losses are given, else plain fit on the labels"
    )
    losses: list[LossSection] = pydantic.Field([], description="losses of the Distiller")
    args: dict[str, Any] = pydantic.Field({}, description="further arguments of the trainer")
    peers: list[ModelSection] = pydantic.Field(
        [], description="networks that are trained beside [model], for trainers of several"
    )
    callbacks: list[CallbackSection] = pydantic.Field([], description="callbacks of the zoo")
    pretrain_epochs: int = pydantic.Field(
        0, ge=0, description="epochs of `epochs` that are spent on the stage before fit"
    )
    companions: bool = pydantic.Field(
        True, description="also train it together with the recipe's companions"
    )
    against: str | None = pydantic.Field(
        None, description="row that it is compared with; soft targets alone where absent"
    )
    model: ModelSection | None = pydantic.Field(None, description="in place of [model]")
    epochs: _Positive | None = pydantic.Field(None, description="in place of train.epochs")
    train_size: _Positive | None = pydantic.Field(
        None, description="fixed subset of train that this method sees"
    )
    omit_classes: list[int] = pydantic.Field(
        [], description="classes whose images this method never sees; their bias is corrected after"
    )
    label_noise: float = pydantic.Field(
        0.0, ge=0, lt=1, description="share of training images that this method sees mislabelled"
    )
    batch_size: _Positive | None = pydantic.Field(
        None, description="in place of data.batch_size; with a sampler of pairs twice as large"
    )
    sampler: SamplerSection | None = pydantic.Field(
        None, description="what chooses and orders the images of an epoch"
    )
    views: _Positive = pydantic.Field(1, description="augmented views of each image in a batch")
    images: str | None = pydantic.Field(
        None, description="a data set whose images, without labels, are the trainer's `images`"
    )
    optimizers: dict[str, OptimizerSection] = pydantic.Field(
        {}, description="in place of [optimizer], by the name of a trainer's player"
    )
    schedule: Schedule | None = pydantic.Field(None, description="in place of optimizer.schedule")
    shows: str | None = pydantic.Field(
        None, description="which of the classifiers that come out the row shows, e.g. ensemble"
    )

    @pydantic.field_validator("trainer")
    @classmethod
    def _known(cls, value):
        return value and registry.get("trainer", value).name

    @property
    def trained_by(self) -> str | None:
        """The trainer's name; `None` for plain fit."""
        return self.trainer or ("Distiller" if self.losses else None)

    @property
    def acting(self) -> tuple[str, ...]:
        """What acts beside the labels: losses, else the trainer and the callbacks."""
        if self.losses:
            return tuple(loss.name for loss in self.losses)
        callbacks = (callback.name for callback in self.callbacks)
        return (*([self.trainer] if self.trainer else []), *callbacks)

    @property
    def needs_teacher(self) -> bool:
        """Whether its trainer starts from a model that is trained already."""
        asked = arguments_of(self.trained_by) if self.trained_by else set()
        return not asked.isdisjoint({"teacher", "generalist"})

    @property
    def own_steps(self) -> int | None:
        """The steps of an epoch of a trainer that takes no images; `None` for all others."""
        if self.trained_by is None:
            return None
        constructor = registry.get("trainer", self.trained_by).target
        if not getattr(constructor, "data_free", False):
            return None
        default = inspect.signature(constructor).parameters["steps_per_epoch"].default
        return self.args.get("steps_per_epoch", default)


def arguments_of(trainer: str) -> set[str]:
    """Names of the constructor arguments of a trainer of the zoo."""
    return set(inspect.signature(registry.get("trainer", trainer).target).parameters)
