"""The recipe: one TOML file that is the run, its flags and its identity."""

import hashlib
import json
import pathlib
import tomllib
from typing import Annotated, Any, Literal

import pydantic

from kzoo import registry

_Positive = Annotated[int, pydantic.Field(gt=0)]
_Rate = Annotated[float, pydantic.Field(gt=0)]


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
    schedule: Literal["constant", "cosine", "step"] = pydantic.Field(
        "cosine", description="step: a tenth at 50 % and 75 % of the updates"
    )
    warmup_epochs: int = pydantic.Field(0, ge=0, description="linear rise, cosine only")


class TrainSection(Section):
    """How long."""

    epochs: _Positive = pydantic.Field(10, description="passes over the training images")
    teacher_epochs: _Positive | None = pydantic.Field(
        None, description="those of the teacher; `epochs` where absent"
    )
    seeds: list[int] = pydantic.Field([0], min_length=1, description="one run each")
    tensorboard: bool = pydantic.Field(True, description="write TensorBoard logs")


class ExportSection(Section):
    """What is exported at the end, and how it is measured."""

    formats: list[Literal["saved_model", "litert", "onnx"]] = pydantic.Field(
        ["saved_model"], description="each is verified after export"
    )
    weights: bool = pydantic.Field(False, description="`--record` adds the weights to the zoo")


class Recipe(Section):
    """One run: the model, its data, how it is trained and what comes out."""

    title: str = pydantic.Field("", description="one line for tables")
    published: dict[str, float] = pydantic.Field(
        {}, description="published test accuracy to compare with, by source"
    )
    model: ModelSection
    teacher: ModelSection | None = pydantic.Field(None, description="trained first")
    data: DataSection = DataSection()
    trainer: TrainerSection = TrainerSection()
    optimizer: OptimizerSection = OptimizerSection()
    train: TrainSection = TrainSection()
    export: ExportSection = ExportSection()

    @pydantic.model_validator(mode="after")
    def _teacher_where_needed(self):
        if (self.teacher is None) != (self.trainer.name is None):
            raise ValueError(
                "[teacher] and [trainer] name belong together: give both, or neither for plain fit"
            )
        return self

    @property
    def identity(self) -> str:
        """Canonical JSON of the fields that differ from their defaults."""
        fields = self.model_dump(exclude_defaults=True, exclude={"title", "published"})
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @property
    def run_id(self) -> str:
        """Eight characters that are the same for the same run."""
        return hashlib.sha256(self.identity.encode()).hexdigest()[:8]

    def smoke(self) -> "Recipe":
        """The same run shrunk to seconds."""
        return self.model_validate(
            _merge(
                self.model_dump(),
                {
                    "data": {"train_size": 64, "batch_size": 16},
                    "train": {
                        "epochs": 1,
                        "teacher_epochs": 1,
                        "seeds": self.train.seeds[:1],
                        "tensorboard": False,
                    },
                    "optimizer": {"warmup_epochs": 0},
                },
            )
        )


def load(path: str | pathlib.Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        path: `recipe.toml`, or the folder that holds it.
        overrides: nested fields that replace those of the file.

    Raises:
        ValueError: in one line, for a missing file, a syntax error, an unknown
            key (the known ones are listed) or a bad value.
    """
    path = pathlib.Path(path)
    path = path / "recipe.toml" if path.is_dir() else path
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"No recipe at {path}. Give a recipe.toml or its folder.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    try:
        return Recipe.model_validate(_merge(fields, overrides or {}))
    except pydantic.ValidationError as error:
        raise ValueError(f"{path}: {'; '.join(_explain(e) for e in error.errors())}") from None


def section_of(annotation) -> type["Section"] | None:
    """The section that an annotation holds, also in a list or optional."""
    options = (annotation, *getattr(annotation, "__args__", ()))
    return next((o for o in options if isinstance(o, type) and issubclass(o, Section)), None)


def _explain(error) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where or 'recipe'}: {error['msg'].removeprefix('Value error, ')}"
    section = Recipe
    for part in error["loc"][:-1]:
        if not isinstance(part, int):
            section = section_of(section.model_fields[part].annotation)
    known = list(section.model_fields)
    near = registry.suggest(error["loc"][-1], known)
    near = near + " " if near.startswith("Did") else ""
    return f"unknown key {where!r}. {near}Known here: {', '.join(known)}."


def _merge(fields: dict, overrides: dict) -> dict:
    merged = dict(fields)
    for key, value in overrides.items():
        old = merged.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = _merge(old, value) if both else value
    return merged
