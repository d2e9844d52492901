"""The parts of a recipe."""

from typing import Annotated, Any, Literal

import pydantic

from kzoo import registry

_Positive = Annotated[int, pydantic.Field(gt=0)]
_Rate = Annotated[float, pydantic.Field(gt=0)]
Schedule = Literal["constant", "cosine", "step"]


class Section(pydantic.BaseModel):
    """A part of a recipe: immutable, and every unknown key is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class ModelSection(Section):
    """A model of the zoo: constructor and arguments."""

    name: str = pydantic.Field(description="application, for example DenseNetBC")
    args: dict[str, Any] = pydantic.Field(
        {}, description="constructor arguments beside classes and input_shape"
    )

    @pydantic.field_validator("name")
    @classmethod
    def _known(cls, value):
        return registry.get("application", value).name


class LossSection(Section):
    """One distillation loss."""

    name: str = pydantic.Field(description="loss, for example SoftTargets")
    args: dict[str, Any] = pydantic.Field({}, description="constructor arguments")

    @pydantic.field_validator("name")
    @classmethod
    def _known(cls, value):
        return registry.get("loss", value).name

    @property
    def has_first_stage(self) -> bool:
        """Whether it is nothing without the stage before fit."""
        own = registry.get("loss", self.name).target.pretrain_call is not None
        return own or self.args.get("stage") == "pretrain"


class DataSection(Section):
    """Which images, and how they are fed."""

    name: str = pydantic.Field(
        "digits", description="digits, fashion_mnist, tfds:<name> or folder:<path>"
    )
    validation_fraction: float = pydantic.Field(0.1, ge=0, lt=1, description="share of train")
    train_size: _Positive | None = pydantic.Field(None, description="fixed subset of train")
    augment: str | None = pydantic.Field(None, description="augmentation by name")
    batch_size: _Positive = pydantic.Field(64, description="images a step")
    seed: int = pydantic.Field(0, ge=0, description="seed of the splits, the same for all runs")


class TrainerSection(Section):
    """How the model is trained: plain `fit`, or a trainer of the zoo."""

    name: str | None = pydantic.Field(None, description="trainer; plain fit where absent")
    args: dict[str, Any] = pydantic.Field({}, description="constructor arguments")
    losses: list[LossSection] = pydantic.Field([], description="distillation losses")
    compare_alone: bool = pydantic.Field(
        True, description="also train the same model alone, for the same number of updates"
    )
    pretrain_epochs: int = pydantic.Field(
        0, ge=0, description="epochs of `epochs` that are spent on the stage before fit"
    )

    @pydantic.field_validator("name")
    @classmethod
    def _known(cls, value):
        return value and registry.get("trainer", value).name


class OptimizerSection(Section):
    """The optimiser and its learning rate."""

    name: Literal["SGD", "Adam"] = pydantic.Field("SGD", description="SGD or Adam")
    learning_rate: _Rate = pydantic.Field(0.1, description="peak learning rate")
    momentum: float = pydantic.Field(0.9, ge=0, lt=1, description="SGD only")
    nesterov: bool = pydantic.Field(True, description="SGD only")
    weight_decay: float = pydantic.Field(
        0.0, ge=0, description="coupled with the gradient, as the papers do; on kernels"
    )
    schedule: Schedule = pydantic.Field(
        "cosine", description="step: a tenth at 50 % and 75 % of the updates"
    )
    warmup_epochs: int = pydantic.Field(0, ge=0, description="linear rise, cosine only")


class TrainSection(Section):
    """How long."""

    epochs: _Positive = pydantic.Field(10, description="passes over the training images")
    teacher_epochs: _Positive | None = pydantic.Field(
        None, description="those of the teacher; `epochs` where absent"
    )
    seeds: list[Annotated[int, pydantic.Field(ge=0)]] = pydantic.Field(
        [0], min_length=1, description="one run each, all unlike"
    )
    tensorboard: bool = pydantic.Field(True, description="write TensorBoard logs")

    @pydantic.field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds):
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"the same seed twice is no second run. Received: {seeds}")
        return seeds


class ExportSection(Section):
    """What is exported at the end, and how it is measured."""

    formats: list[Literal["saved_model", "litert", "onnx"]] = pydantic.Field(
        ["saved_model"], description="each is verified after export"
    )
    weights: bool = pydantic.Field(False, description="`--record` adds the weights to the zoo")
