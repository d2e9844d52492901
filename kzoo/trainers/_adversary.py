"""Student, teacher and discriminator as players: all but the arguments."""

import keras
from keras import ops

from kzoo.trainers._batch import Batch
from kzoo.trainers._checks import Schedule, check_variables, weight_at
from kzoo.trainers._configured import Configured
from kzoo.trainers._course import as_teachers
from kzoo.trainers._imitation import Imitation
from kzoo.trainers._judges import copied, thawed
from kzoo.trainers._label_game import LabelGame
from kzoo.trainers._labels import class_of, labels_for, warn_of_chance
from kzoo.trainers._terms import reduce_term
from kzoo.trainers.player_optimizers import steps_done
from kzoo.trainers.trainer import Trainer


class Adversary(Configured, Trainer):
    """Base of `AdversarialDistillation`, which sets `mode`, `discriminator` and the weights.

    Args:
        student: the model to train.
        teacher: what to learn from.
        plays: whether a copy of the teacher is a player.
        **kwargs: those of `keras.Model`.
    """

    copies_optimizer = True
    weights_of_terms = ()

    def __init__(self, student, teacher, plays, **kwargs):
        super().__init__(**kwargs)
        self.student = student
        self.adapter = self._playing_teacher = None
        if plays:
            self._hidden.teacher = self._playing_teacher = _own_copy(teacher)
            return
        given = as_teachers(teacher)
        if len(given) > 1:
            raise ValueError(
                "`teacher` must be one teacher here. Combine several with "
                f"kzoo.trainers.TeacherEnsemble. Received: a list of {len(given)}"
            )
        check_variables(student, given)
        self._hidden.teacher = teacher[0] if isinstance(teacher, list | tuple) else teacher
        (self._hidden.teaching,) = given
        for model in given[0].models:
            self.freeze(model)

    @property
    def teacher(self):
        """What is learnt from; where it plays, the copy that learns too."""
        return self._hidden.teacher

    @property
    def teacher_models(self):
        """The models that only run, so that a saved trainer holds their weights."""
        return list(self._hidden.models)

    def prepare_if_built(self):
        """Make discriminator and adapter at once where all shapes are known."""
        models = [self._playing_teacher]
        if self._playing_teacher is None:
            models = self._hidden.teaching.models_to_build()
        if all(model.built for model in (self.student, *models)):
            self._prepare()

    def build(self, input_shape=None):
        """Build the models, then discriminator and adapter."""
        inputs = Batch.of(input_shape).inputs
        if not self.student.built:
            self.student.build(inputs)
        if self._playing_teacher is None:
            self._hidden.teaching.build(inputs)
        elif not self._playing_teacher.built:
            self._playing_teacher.build(inputs)
        self._prepare()

    def _prepare(self):
        if self.built:
            return
        # Hidden, so that Keras does not track the models a second time.
        if self._playing_teacher is None:
            game = Imitation(self, self._hidden.teaching)
        else:
            game = LabelGame(self, self._playing_teacher)
        # In this order, in which a loaded trainer tracks them too.
        self.discriminator = game.make_discriminator(self.discriminator)
        self.adapter = game.make_adapter()
        self._hidden.game = game
        self.built = True

    def call(self, inputs, training=None):
        """The student's output."""
        return self.student(Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The student's."""
        return self.student.compute_output_shape(Batch.of(input_shape).inputs)

    def players(self):
        """Student with its adapter, discriminator and, where it plays, teacher."""
        parts = {"student": (self.student, self.adapter)}
        if self._playing_teacher is not None:
            parts["teacher"] = (self._playing_teacher,)
        parts["discriminator"] = (self.discriminator,)
        return {
            name: [v for part in group if part is not None for v in part.trainable_variables]
            for name, group in parts.items()
        }

    def updates(self):
        """One for each player, the discriminator's first."""
        return self._hidden.game.updates()

    def task_terms(self, y, y_pred, sample_weight):
        """The weighted compiled loss, or nothing."""
        if self.task_weight == 0 or self._compile_loss is None:
            return {}
        task = reduce_term(self.task_loss(y, y_pred, sample_weight), None)
        return {"task_loss": self.weighted("task_weight", task)}

    def weighted(self, name, value):
        """A value times the weight of that name at this step; `None` where the weight is 0."""
        weight = getattr(self, name)
        return None if weight == 0 else value * weight_at(weight, steps_done(self.optimizer))

    def log_teacher(self, taught, found, x, y):
        """Log accuracy of the teacher and agreement with the student, where both have classes."""
        teacher, student = class_of(taught), class_of(found)
        if teacher is None or student is None or taught.shape[-1] != found.shape[-1]:
            return
        labels = labels_for(taught, y)
        if labels is not None:
            self.log("teacher_accuracy", ops.equal(labels, teacher), x)
        self.log("agreement", ops.equal(student, teacher), x)

    def diagnose(self, logs, ignore=()):
        """Warn about a teacher at chance and terms that stayed 0."""
        scheduled = any(isinstance(getattr(self, n), Schedule) for n in self.weights_of_terms)
        super().diagnose(logs, self.term_names if scheduled else ignore)
        if "teacher_accuracy" in logs and self._playing_teacher is None:
            name, classes = self._hidden.teaching.name, self._hidden.game.classes
            samples = self.samples_of("teacher_accuracy")
            warn_of_chance(name, logs["teacher_accuracy"], classes, samples)

    def export(self, path, **kwargs):
        """Export the student alone, without teacher, discriminator and adapter.

        Args:
            path: where to.
            **kwargs: those of `kzoo.export.export_model`, for example `format`.
        """
        from kzoo.export import export_model

        return export_model(self.student, path, **kwargs)


def check_models(**models):
    """Refuse what is no model; `None` passes."""
    for argument, model in models.items():
        if model is not None and not isinstance(model, keras.Model):
            raise ValueError(f"`{argument}` must be a keras.Model. Received: {argument}={model!r}")


def _own_copy(teacher):
    """A copy that learns; a teacher that is frozen as a whole, as teachers often are, is thawed."""
    if not isinstance(teacher, keras.Model):
        raise ValueError(
            "mode='kdgan' trains a copy of the teacher, so `teacher` must be a keras.Model. "
            f"Received: teacher={teacher!r}"
        )
    copy = copied(teacher, teacher.name, "Choose another `mode`")
    if teacher.built:
        copy.set_weights(teacher.get_weights())
    return copy if copy.trainable_variables else thawed(copy)
