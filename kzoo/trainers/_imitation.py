"""A discriminator tells the student's vectors from the teacher's: logits or features."""

import keras
from keras import ops

from kzoo import taps
from kzoo.trainers._batch import Batch
from kzoo.trainers._judges import check_vector_judge, vector_judge
from kzoo.trainers._labels import labels_of
from kzoo.trainers._networks import LOGITS, check_softmax
from kzoo.trainers._state import call_unchanged
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers.update import Update


class Imitation:
    """The game of `"logits"` and `"feature"`; a plain object that Keras ignores.

    Args:
        trainer: whose game it is.
        teaching: what teaches, a `Teaching`.
    """

    def __init__(self, trainer, teaching):
        self.trainer, self.teaching = trainer, teaching
        self.tap = LOGITS if trainer.mode == "logits" else trainer.tap
        teaching.check_against(trainer.student)
        teaching.build_preprocess(getattr(trainer.student, "input_shape", None))
        names = dict.fromkeys([OUTPUTS, LOGITS, self.tap])
        self.read = taps.extractor(check_softmax(trainer.student), list(names))
        self.width = teaching.prepare([self.tap])[self.tap][-1]
        self.own_width = self.read.tap_shapes[self.tap][-1]
        self.classes = self.read.tap_shapes[LOGITS][-1]
        self.tells_classes = True
        if trainer.mode == "logits" and self.width != self.own_width:
            raise ValueError(
                "Teacher and student must have the same classes in the same order. Received: "
                f"{self.width} classes of the teacher, {self.own_width} of the student. Map them "
                "with kzoo.trainers.Teacher(model, classes=...), or use mode='feature'."
            )

    def make_discriminator(self, given):
        """The given discriminator, checked, or the one that is made where there is none."""
        if given is None:
            spectral = self.trainer.mode == "feature"
            return vector_judge(self.width, self.classes, spectral)
        self.tells_classes = check_vector_judge(given, self.width, self.classes) > 1
        return given

    def make_adapter(self):
        """What gives the student's vectors the teacher's width; `None` where they have it."""
        if self.width == self.own_width:
            return None
        adapter = keras.layers.Dense(self.width, dtype="float32", name="adapter")
        adapter.build((None, self.own_width))
        return adapter

    def updates(self):
        """The discriminator moves first, then the student by what it knows now."""
        players = self.trainer.players()
        return [
            Update("discriminator", self.discriminator_terms, players["discriminator"]),
            Update("student", self.student_terms, players["student"]),
        ]

    def discriminator_terms(self, x, y, sample_weight, training):
        """The teacher's vectors are real, the student's are not; both have the labels' classes."""
        batch, trainer = Batch.of(x), self.trainer
        found = trainer.call_frozen(self.read, batch.inputs, batch_statistics=True)
        fake = ops.stop_gradient(self._own(found))
        real = vector(self.teaching.read(trainer.call_frozen, batch)[self.tap])
        judged = trainer.discriminator(ops.concatenate([real, fake]), training=training)
        real, fake = ops.split(ops.cast(judged, "float32"), 2)
        right = ops.cast(real[:, 0] > 0, "float32") + ops.cast(fake[:, 0] <= 0, "float32")
        trainer.log("discriminator_accuracy", right / 2.0, x)
        terms = {"real": ops.softplus(-real[:, 0]), "fake": ops.softplus(fake[:, 0])}
        labels = self._labels(y)
        if labels is not None:
            terms["class"] = of_class(real, labels) + of_class(fake, labels)
        return None, terms

    def student_terms(self, x, y, sample_weight, training):
        """The task, the distance to the teacher, and what the discriminator makes of it."""
        batch, trainer = Batch.of(x), self.trainer
        found = self.read(batch.inputs, training=training)
        taught = self.teaching.read(trainer.call_frozen, batch)
        trainer.log_teacher(taught[OUTPUTS], found[OUTPUTS], x, y)
        own, real = self._own(found), vector(taught[self.tap])
        distance = ops.sum(ops.abs(real - own), axis=-1)
        terms = trainer.task_terms(y, found[OUTPUTS], sample_weight)
        terms["distillation"] = trainer.weighted("distillation_weight", distance)
        if trainer.adversarial_weight != 0 or trainer.label_weight != 0:
            judged = ops.cast(call_unchanged(trainer.discriminator, own), "float32")
            value = ops.softplus(-judged[:, 0])
            terms["adversarial"] = trainer.weighted("adversarial_weight", value)
            labels = self._labels(y)
            if labels is not None:
                terms["class"] = trainer.weighted("label_weight", of_class(judged, labels))
        return found[OUTPUTS], terms

    def _own(self, found):
        own, adapter = vector(found[self.tap]), self.trainer.adapter
        return own if adapter is None else adapter(own)

    def _labels(self, y):
        """The classes, where there are labels and the discriminator tells classes apart."""
        return labels_of(y, self.classes) if self.tells_classes else None


def vector(features):
    """One vector a sample, in float32: of maps the means over space."""
    features = ops.cast(features, "float32")
    axes = tuple(range(1, len(features.shape) - 1))
    return ops.mean(features, axis=axes) if axes else features


def of_class(judged, labels):
    """Cross-entropy of the class outputs of a discriminator of vectors."""
    return keras.losses.sparse_categorical_crossentropy(labels, judged[:, 1:], from_logits=True)
