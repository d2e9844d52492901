"""Which models a recipe trains, in which order."""

import dataclasses
from collections.abc import Callable, Mapping

import keras

from kzoo import data
from kzoo.recipes import _trainers, build
from kzoo.recipes.method_section import MethodSection
from kzoo.recipes.sections import ModelSection

_TEACHER_SEED_OFFSET = 1_000_003
_FIT = MethodSection(name="fit")


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
        losses: what acts beside the labels; `None` where no methods are compared.
        model: the section of its model, where it is another than the recipe's.
        method: the section of the method; that of plain fit where no methods are compared.
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
    method: MethodSection = _FIT

    @property
    def fit_epochs(self):
        """The epochs of fit itself."""
        return self.epochs - self.pretrain_epochs

    def sees(self, dataset):
        """The data set that this phase trains on."""
        if self.train_size is not None or self.omit_classes:
            dataset = data.reduced(
                dataset, train_size=self.train_size, omit_classes=self.omit_classes
            )
        if self.method.label_noise:
            dataset = data.noisy_labels(dataset, self.method.label_noise)
        return dataset

    def feed(self, recipe):
        """How its batches are made: arguments of `Dataset.sequence` beside seed and order."""
        size = self.method.batch_size or recipe.data.batch_size
        return {
            "batch_size": size,
            "augment": recipe.data.augment,
            "sampler": build.sampler(self.method.sampler, size),
            "views": self.method.views,
        }

    def clock(self, recipe, dataset):
        """How long its fit is, on the data set that it sees."""
        feed = self.feed(recipe)
        steps = self.method.own_steps
        if steps is None:
            steps = dataset.steps("train", feed["batch_size"], sampler=feed["sampler"])
        return build.Clock(self.fit_epochs, steps, dataset.spec.sizes["train"])


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
    make = _trained(recipe.trainer.name, recipe.trainer, student, recipe, spec)
    pretrain = recipe.trainer.pretrain_epochs
    return [*plan, Phase("distilled student", epochs, 0, make, student, pretrain)]


def _methods(recipe, spec):
    """One shared teacher where one is needed, then each method, alone and with the companions."""
    plan, makers = [], {}
    if any(method.needs_teacher for method in recipe.methods):
        plan.append(dataclasses.replace(_teacher(recipe, spec), shared=True))
    for name, method in recipe.variants():
        model = method.model or recipe.model
        student = makers.setdefault(model.model_dump_json(), _maker(model, spec))
        trainer = method.trained_by
        make = _trained(trainer, method, student, recipe, spec) if trainer else _alone(student)
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
                losses=method.acting,
                model=method.model,
                method=method,
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


def _trained(name, section, maker, recipe, spec):
    def make(finished, clock):
        return _trainers.trainer(name, section, maker, finished, clock, recipe, spec)

    return make
