"""Which models a recipe trains, in which order."""

import dataclasses
from collections.abc import Callable, Mapping

import keras

from kzoo.recipes import build

_TEACHER_SEED_OFFSET = 1_000_003


@dataclasses.dataclass(frozen=True)
class Phase:
    """One model that is trained.

    Attributes:
        name: the row of the tables.
        epochs: passes over the training images.
        seed_offset: added to the run's seed; phases with equal offsets start
            from equal weights and see equal batches.
        make: takes a `Phase`'s finished predecessors by name and returns
            `(what is fitted, the classifier that comes out)`.
        classifier: the classifier alone, to load finished weights into.
    """

    name: str
    epochs: int
    seed_offset: int
    make: Callable[[Mapping[str, keras.Model]], tuple[keras.Model, keras.Model]]
    classifier: Callable[[], keras.Model]


def phases(recipe, spec) -> list[Phase]:
    """The phases of a recipe: one for plain `fit`, else teacher, alone, distilled."""

    def student():
        return build.model(recipe.model, spec)

    def alone(_):
        classifier = student()
        return classifier, classifier

    epochs = recipe.train.epochs
    if recipe.trainer.name is None:
        return [Phase("model", epochs, 0, alone, student)]

    def teacher():
        return build.model(recipe.teacher, spec)

    def teach(_):
        classifier = teacher()
        return classifier, classifier

    def distil(finished):
        classifier = student()
        return build.trainer(recipe.trainer, classifier, finished["teacher"]), classifier

    teacher_epochs = recipe.train.teacher_epochs or epochs
    plan = [Phase("teacher", teacher_epochs, _TEACHER_SEED_OFFSET, teach, teacher)]
    if recipe.trainer.compare_alone:
        plan.append(Phase("student alone", epochs, 0, alone, student))
    return [*plan, Phase("distilled student", epochs, 0, distil, student)]
