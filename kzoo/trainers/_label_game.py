"""Student and teacher give labels, a discriminator tells them from the true ones: KDGAN."""

import keras
from keras import ops

from kzoo.losses import soft_targets
from kzoo.trainers._batch import Batch
from kzoo.trainers._checks import weight_at
from kzoo.trainers._judges import label_judge, same_shape
from kzoo.trainers._labels import labels_of
from kzoo.trainers._networks import LOGITS, readers
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers.player_optimizers import steps_done
from kzoo.trainers.update import Update

_EDGE = 1e-7


class LabelGame:
    """The game of `"kdgan"`; a plain object that Keras ignores.

    Args:
        trainer: whose game it is.
        teacher: the model that plays the teacher, a copy of the caller's.
    """

    def __init__(self, trainer, teacher):
        self.trainer, self.teacher = trainer, teacher
        self.read, self.read_teacher = readers([trainer.student, teacher])
        self.classes = self.read.tap_shapes[LOGITS][-1]
        self.judge = None

    def make_discriminator(self, given):
        """The given discriminator, checked, or the one that is made where there is none."""
        model = label_judge(self.teacher) if given is None else given
        expected = self.trainer.student.input_shape
        if not model.built:
            model.build(expected)
        if not same_shape(getattr(model, "input_shape", expected), expected):
            raise ValueError(
                "`discriminator` must take what the student takes, inputs of shape "
                f"{expected}. Received: input shape {model.input_shape}"
            )
        (self.judge,) = readers([model])
        if self.judge.tap_shapes[LOGITS][-1] != self.classes:
            raise ValueError(
                f"`discriminator` must return one logit for each of the {self.classes} classes. "
                f"Received: {self.judge.tap_shapes[LOGITS][-1]} logits"
            )
        return model

    def make_adapter(self):
        """Labels need none."""
        return None

    def updates(self):
        """Discriminator, teacher, student: the order of the paper's Algorithm 1."""
        terms = (self.discriminator_terms, self.teacher_terms, self.student_terms)
        names, players = ("discriminator", "teacher", "student"), self.trainer.players()
        return [Update(name, own, players[name]) for name, own in zip(names, terms, strict=True)]

    def discriminator_terms(self, x, y, sample_weight, training):
        """True labels are real; those of student and teacher, half of the rest each, are not."""
        trainer, inputs = self.trainer, Batch.of(x).inputs
        labels = labels_of(y, self.classes)
        if labels is None:
            raise ValueError(
                "mode='kdgan' compares labels with the true ones. Give `fit` integer labels or "
                f"one-hot rows of {self.classes} classes as y."
            )
        scores = ops.cast(self.judge(inputs, training=training)[LOGITS], "float32")
        true = verdict(scores, ops.one_hot(labels, self.classes))
        terms, right = {"true": ops.softplus(-true)}, 0.5 * ops.cast(true > 0, "float32")
        for name, read in (("student", self.read), ("teacher", self.read_teacher)):
            logits = trainer.call_frozen(read, inputs, batch_statistics=True)[LOGITS]
            found = verdict(scores, self._label(ops.cast(logits, "float32")))
            terms[name] = 0.5 * ops.softplus(found)
            right += 0.25 * ops.cast(found <= 0, "float32")
        trainer.log("discriminator_accuracy", right, x)
        return None, terms

    def teacher_terms(self, x, y, sample_weight, training):
        """Of the teacher: the same as of the student, with the roles exchanged."""
        weight = "teacher_distillation_weight"
        sides = self.read_teacher, self.read
        return None, self._terms(x, y, sample_weight, training, sides, weight)[1]

    def student_terms(self, x, y, sample_weight, training):
        """The task, the discriminator's verdict on its labels, and the teacher's soft targets."""
        sides = self.read, self.read_teacher
        found, terms = self._terms(x, y, sample_weight, training, sides, "distillation_weight")
        return found[OUTPUTS], terms

    def _terms(self, x, y, sample_weight, training, sides, distillation_weight):
        (own, other), trainer, inputs = sides, self.trainer, Batch.of(x).inputs
        found = own(inputs, training=training)
        logits = ops.cast(found[LOGITS], "float32")
        taught = trainer.call_frozen(other, inputs)
        if own is self.read:
            trainer.log_teacher(taught[OUTPUTS], found[OUTPUTS], x, y)
        terms = trainer.task_terms(y, found[OUTPUTS], sample_weight)
        if getattr(trainer, distillation_weight) != 0:
            loss = soft_targets(taught[LOGITS], logits, trainer.temperature)
            terms["distillation"] = trainer.weighted(distillation_weight, loss)
        if trainer.adversarial_weight != 0:
            scores = trainer.call_frozen(self.judge, inputs, batch_statistics=True)[LOGITS]
            loss = self._adversarial(logits, ops.cast(scores, "float32"))
            terms["adversarial"] = trainer.weighted("adversarial_weight", loss)
        return found, terms

    def _adversarial(self, logits, scores):
        """How far the discriminator is from taking the player's labels for true ones."""
        label = self._label(logits)
        score = verdict(scores, label)
        if self.trainer.variant == "paper":
            return ops.softplus(-score)
        # The authors' code: the logit of the drawn class is trained towards D(x, label).
        drawn = verdict(logits, label)
        return ops.softplus(drawn) - ops.stop_gradient(ops.sigmoid(score)) * drawn

    def _label(self, logits):
        """A label of each sample, drawn from the softmax of its logits."""
        trainer = self.trainer
        noise = gumbel(ops.shape(logits), trainer.noise)
        if trainer.variant == "reference":
            return ops.one_hot(ops.argmax(logits + noise, axis=-1), self.classes)
        return relaxed(
            logits, noise, weight_at(trainer.gumbel_temperature, steps_done(trainer.optimizer))
        )


def gumbel(shape, seed):
    """Gumbel noise: the class with the largest logit plus noise is a draw from their softmax."""
    uniform = keras.random.uniform(shape, dtype="float32", seed=seed)
    return -ops.log(-ops.log(ops.clip(uniform, _EDGE, 1.0 - _EDGE)))


def relaxed(logits, noise, temperature):
    """A draw from the concrete distribution: a label that is spread over the classes."""
    return ops.softmax((ops.log_softmax(logits, axis=-1) + noise) / temperature, axis=-1)


def verdict(scores, label):
    """The score of a label, linear in it: of a class alone the class's score."""
    return ops.sum(scores * label, axis=-1)
