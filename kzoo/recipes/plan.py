"""Which models a recipe trains, in which order."""

import dataclasses
from collections.abc import Callable, Mapping

import keras

from kzoo import data
from kzoo.recipes import build
from kzoo.recipes.sections import ModelSection

_TEACHER_SEED_OFFSET = 1_000_003


@dataclasses.dataclass(frozen=True)
class Phase:
    """One model that is trained.

    Attributes:
        name: the row of the tables.
        epochs: passes over the training images, those of the stage before fit included.
        seed_offset: added to the run's seed; phases with equal offsets start
            from equal weights and see equal batches.
        make: takes a `Phase`'s finished predecessors by name and the `build.Clock`, and returns
            `(what is fitted, the classifier that comes out)`.
        classifier: the classifier alone, to load finished weights into.
        pretrain_epochs: how many of the epochs are spent on the stage before fit.
        shared: whether it is trained once, for the first seed, and serves all.
        train_size: of the training images, a fixed subset.
        omit_classes: classes whose images it does not see.
        losses: names of its distillation losses; `None` where no methods are compared.
        model: the section of its model, where it is another than the recipe's.
    """

    name: str
    epochs: int
    seed_offset: int
    make: Callable[[Mapping[str, keras.Model], build.Clock], tuple[keras.Model, keras.Model]]
    classifier: Callable[[], keras.Model]
    pretrain_epochs: int = 0
    shared: bool = False
    train_size: int | None = None
    omit_classes: tuple[int, ...] = ()
    losses: tuple[str, ...] | None = None
    model: ModelSection | None = None

    @property
    def fit_epochs(self):
        """The epochs of fit itself."""
        return self.epochs - self.pretrain_epochs

    def sees(self, dataset):
        """The data set that this phase trains on."""
        if self.train_size is None and not self.omit_classes:
            return dataset
        return data.reduced(dataset, train_size=self.train_size, omit_classes=self.omit_classes)


def phases(recipe, spec) -> list[Phase]:
    """The phases of a recipe: one for plain `fit`; teacher, alone, distilled; or all methods."""
    if recipe.methods:
        return _methods(recipe, spec)
    student = _maker(recipe.model, spec)
    epochs = recipe.train.epochs
    if recipe.trainer.name is None:
        return [Phase("model", epochs, 0, _alone(student), student)]
    plan = [_teacher(recipe, spec)]
    if recipe.trainer.compare_alone:
        plan.append(Phase("student alone", epochs, 0, _alone(student), student))
    make = _distilled(recipe.trainer.name, recipe.trainer, student)
    pretrain = recipe.trainer.pretrain_epochs
    return [*plan, Phase("distilled student", epochs, 0, make, student, pretrain)]


def _methods(recipe, spec):
    """One shared teacher, then each method, alone and with the companions."""
    plan, makers = [dataclasses.replace(_teacher(recipe, spec), shared=True)], {}
    for name, method in recipe.variants():
        model = method.model or recipe.model
        student = makers.setdefault(model.model_dump_json(), _maker(model, spec))
        make = _distilled("Distiller", method, student) if method.losses else _alone(student)
        plan.append(
            Phase(
                name,
                method.epochs or recipe.train.epochs,
                0,
                make,
                student,
                method.pretrain_epochs,
                train_size=method.train_size,
                omit_classes=tuple(method.omit_classes),
                losses=tuple(loss.name for loss in method.losses),
                model=method.model,
            )
        )
    return plan


def _teacher(recipe, spec):
    teacher = _maker(recipe.teacher, spec)
    epochs = recipe.train.teacher_epochs or recipe.train.epochs
    return Phase("teacher", epochs, _TEACHER_SEED_OFFSET, _alone(teacher), teacher)


def _maker(section, spec):
    def make():
        return build.model(section, spec)

    return make


def _alone(maker):
    def make(finished, clock):
        classifier = maker()
        return classifier, classifier

    return make


def _distilled(name, section, maker):
    def make(finished, clock):
        classifier = maker()
        return build.trainer(name, section, classifier, finished["teacher"], clock), classifier

    return make
