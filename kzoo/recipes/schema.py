"""The recipe: one TOML file that is the run, its flags and its identity."""

import hashlib
import json
import pathlib
import tomllib
from typing import Any

import pydantic

from kzoo import registry
from kzoo.recipes import files
from kzoo.recipes.method_section import MethodSection, arguments_of
from kzoo.recipes.sections import (
    DataSection,
    ExportSection,
    LossSection,
    ModelSection,
    OptimizerSection,
    Section,
    TrainerSection,
    TrainSection,
)

_SMOKE_METHODS, _SMOKE_BATCH, _SMOKE_STEPS = 3, 16, 2


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
    methods: list[MethodSection] = pydantic.Field([], description="ways to train, side by side")
    companions: list[LossSection] = pydantic.Field(
        [], description="losses that each method is also trained together with"
    )
    optimizer: OptimizerSection = OptimizerSection()
    train: TrainSection = TrainSection()
    export: ExportSection = ExportSection()

    @pydantic.model_validator(mode="after")
    def _teacher_where_needed(self):
        needed = self.trainer.name is not None or any(m.needs_teacher for m in self.methods)
        if (needed and self.teacher is None) or (self.teacher and not (needed or self.methods)):
            raise ValueError(
                "[teacher] and [trainer] name belong together: give both, or neither for plain "
                "fit. [[methods]] whose trainer learns from a teacher need a [teacher] too"
            )
        if self.trainer.name is not None and "teacher" not in arguments_of(self.trainer.name):
            raise ValueError(
                f"[trainer] name: {self.trainer.name} has no teacher. Give it as the trainer of "
                "one of [[methods]]"
            )
        rows = ["teacher", *(name for name, _ in self.variants())]
        folders = [files.folder_name(row) for row in rows]
        twice = [
            row for row, folder in zip(rows, folders, strict=True) if folders.count(folder) > 1
        ]
        if twice:
            raise ValueError(
                "each of [[methods]] needs a name of its own, other than 'teacher' and those with "
                f"companions; {twice[-1]!r} is taken"
            )
        lost = [m.against for m in self.methods if m.against not in (None, *rows[1:])]
        if lost:
            raise ValueError(f"[[methods]] against: there is no method {lost[0]!r}")
        if self.methods and self.trainer.name is not None:
            raise ValueError("give [[methods]] or [trainer] name, not both")
        if self.companions and not self.methods:
            raise ValueError("[[companions]] need [[methods]] to go with")
        return self

    @pydantic.model_validator(mode="after")
    def _epochs_left_for_fit(self):
        for section in (self.trainer, *self.methods):
            epochs = getattr(section, "epochs", None) or self.train.epochs
            if section.pretrain_epochs >= epochs:
                raise ValueError(
                    f"pretrain_epochs must be less than epochs, {epochs} here. Received: "
                    f"{section.pretrain_epochs}"
                )
            if section.pretrain_epochs and not section.losses:
                raise ValueError("pretrain_epochs need losses that have a stage before fit")
            companions = self.companions if section in self.methods and section.companions else []
            losses = [*section.losses, *companions] if section.losses else []
            staged = [loss.name for loss in losses if loss.has_first_stage]
            if staged and not section.pretrain_epochs:
                raise ValueError(
                    f"the loss {staged[0]!r} has a stage before fit: give it pretrain_epochs"
                )
        return self

    def variants(self) -> list[tuple[str, MethodSection]]:
        """What [[methods]] make: name and section of each, and of each with the companions."""
        made = []
        suffix = "".join(f" + {loss.name}" for loss in self.companions)
        for method in self.methods:
            made.append((method.name, method))
            if method.companions and method.losses and self.companions:
                losses = [*self.companions, *method.losses]
                made.append((method.name + suffix, method.model_copy(update={"losses": losses})))
        return made

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
        """The same run shrunk to seconds; of a first stage and of fit an epoch is left."""
        first = min(self.trainer.pretrain_epochs, 1)
        return self.model_validate(
            _merge(
                self.model_dump(),
                {
                    "methods": [_smoke(method) for method in _few(self.methods)],
                    "trainer": {"pretrain_epochs": first},
                    "data": {"train_size": 64, "batch_size": _SMOKE_BATCH},
                    "train": {
                        "epochs": 1 + first,
                        "teacher_epochs": 1,
                        "seeds": self.train.seeds[:1],
                        "tensorboard": False,
                    },
                    "optimizer": {"warmup_epochs": 0},
                },
            )
        )


def _few(methods):
    """The first ones, and of the others one of each kind."""
    kinds = {}
    for number, method in enumerate(methods):
        kind = (method.trained_by, *(callback.name for callback in method.callbacks))
        kinds.setdefault(number if number < _SMOKE_METHODS else kind, method)
    seen = {m.trained_by for m in methods[:_SMOKE_METHODS]}
    return [
        method
        for kind, method in kinds.items()
        if isinstance(kind, int) or method.callbacks or method.trained_by not in seen
    ]


def _smoke(method):
    first = min(method.pretrain_epochs, 1)
    changed = {"epochs": 1 + first, "pretrain_epochs": first, "train_size": None, "against": None}
    if method.batch_size is not None:
        changed["batch_size"] = _SMOKE_BATCH
    if method.own_steps is not None:
        few = {"steps_per_epoch": _SMOKE_STEPS, "batch_size": _SMOKE_BATCH}
        changed["args"] = {**method.args, **few}
    one_cycle = {"cycles": 1}  # more do not fit into an epoch
    changed["callbacks"] = [
        {"name": each.name, "args": {k: one_cycle.get(k, v) for k, v in each.args.items()}}
        for each in method.callbacks
    ]
    return {**method.model_dump(), **changed}


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
