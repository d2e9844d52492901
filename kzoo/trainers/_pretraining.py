"""The stage before `fit` of the methods that were published in stages."""

import warnings

import numpy as np

from kzoo import taps
from kzoo.losses._projector import shared_projections
from kzoo.trainers._batch import Batch
from kzoo.trainers._labels import labels_for
from kzoo.trainers._lesson import Told, sides
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._terms import reduce_term
from kzoo.trainers.trainer import Trainer
from kzoo.trainers.update import Update

_STAGED = "staged"


class Pretraining(Trainer):
    """Minimises the pretraining terms of a course: no task loss, no weight behind the taps moves.

    The student runs as a whole, in training mode: the moving statistics of batch normalisation
    behind the taps follow what comes out of the layers before them.

    Args:
        course: a `Course`, prepared or with built models.

    Raises:
        ValueError: where no loss has a stage of this kind.
    """

    def __init__(self, course):
        super().__init__(dtype=course.student.dtype_policy, name="pretraining")
        course.prepare()
        self._course = course
        self.student = course.student
        self.staged = [
            loss for lesson in course.lessons for loss in lesson.acting("pretrain").values()
        ]
        if not self.staged:
            raise ValueError(
                "No loss has a stage before `fit`. Give one stage='pretrain' (as FitNets, "
                "activation boundaries and FSP were published) or 'both', or call `fit` at once."
            )
        # A loss with a stage of its own looks at the teacher alone.
        self._taught = [loss for loss in self.staged if loss.pretrain_call is None]
        read = [tap for loss in self._taught for tap in loss.student_taps]
        moved = taps.variables_before(self.student, read) if read else []
        moved += [v for loss in self.staged for v in loss.pretrain_variables]
        self._moved = {id(v) for v in moved}
        self.freeze_teachers()
        self.built = True

    def freeze_teachers(self):
        """Register all teachers as models that only run."""
        for teacher in self._course.teachers:
            for model in teacher.models:
                self.freeze(model)

    def call(self, inputs, training=None):
        """The student's output."""
        return self.student(Batch.of(inputs).inputs, training=training)

    def updates(self):
        """One: the student before the taps, and the losses' own variables."""
        variables = [v for v in self.trainable_variables if id(v) in self._moved]
        return [Update("model", self.compute_terms, variables)]

    def compute_terms(self, x, y, sample_weight, training):
        """One term for each loss of this stage."""
        batch, terms = Batch.of(x), {}
        with shared_projections():
            student = self._course.read(batch.inputs, training=bool(self._taught) and training)
            told = Told(training, labels_for(student[OUTPUTS], y), batch, self._course.read)
            for lesson in self._course.lessons:
                teacher = lesson.teacher.read(self.call_frozen, batch)
                for name, loss in lesson.acting("pretrain").items():
                    value = lesson.compare(loss, teacher, student, told, stage="pretrain")
                    value = reduce_term(value, sample_weight)
                    terms[name] = value * self._weight(loss) * lesson.weight
                    for key, found in loss.diagnostics(*sides(loss, teacher, student)).items():
                        self.log(f"{name}_{key}", found, x)
        return student[OUTPUTS], terms

    def _weight(self, loss):
        # The weight of a loss balances it against the task, not a stage that it has for itself.
        own = loss.pretrain_call is not None
        return 1.0 if own else loss.weight_at(self.optimizer.iterations)


class Staged(Trainer):
    """Base of trainers with a `Course`, `self._course`, that have a stage before `fit`."""

    _staged = False

    def save_own_variables(self, store):
        """Whether the stage was run, beside Keras' own."""
        super().save_own_variables(store)
        store[_STAGED] = np.asarray(self._staged)

    def load_own_variables(self, store):
        """The inverse."""
        saved = {name: store[name] for name in store.keys()}  # noqa: SIM118 (not a dict)
        self._staged = bool(np.asarray(saved.pop(_STAGED, False)))
        super().load_own_variables(saved)

    def pretrain(self, x=None, y=None, optimizer=None, **kwargs):
        """The stage before `fit` of the methods that were published in stages.

        It minimises the losses with `stage="pretrain"` or `"both"` alone, without the task's, and
        moves only the weights that lie before their taps in the student and their own projectors
        (and the moving statistics of the student's batch normalisation); a paraphraser
        (`FactorTransfer`) learns to reconstruct the teacher's feature.

        Args:
            x: data as for `fit`.
            y: as for `fit`; only losses that ask for labels read it.
            optimizer: an optimiser of its own; the compiled one's kind and settings by default.
            **kwargs: those of `fit`: `epochs`, `batch_size`, `callbacks`, `verbose`, ...

        Returns:
            The `History` of the stage.

        Raises:
            ValueError: where no loss has such a stage.
        """
        if optimizer is None:
            optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        eager = {"run_eagerly": self.run_eagerly, "jit_compile": self.jit_compile}
        return self.pretraining(optimizer, **eager).fit(x, y, **kwargs)

    def pretraining(self, optimizer, **kwargs):
        """The compiled trainer of that stage, for those who want to checkpoint it.

        Args:
            optimizer: of the stage.
            **kwargs: those of `compile`.
        """
        with self.strategy_scope():
            stage = Pretraining(self._course)
            stage.compile(optimizer, **kwargs)
        self._staged = True
        return stage

    def warn_of_skipped_stage(self):
        """Warn about losses that need the stage before `fit` where it was not run."""
        skipped = [
            loss.name
            for loss in self._course.losses
            if loss.stage == "pretrain" or loss.pretrain_call is not None
        ]
        if skipped and not self._staged:
            warnings.warn(
                f"The loss {skipped[0]!r} has a stage before `fit` that was not run, so it teaches "
                "nothing, or something untrained. Call `pretrain` before `fit`.",
                stacklevel=2,
            )
