"""A trainer as a user of kzoo might write it, for `kzoo check trainer`."""

import keras

from kzoo.losses import SoftTargets
from kzoo.trainers import Distiller


@keras.saving.register_keras_serializable(package="kzoo_tests")
class SoftOnly(Distiller):
    """A distiller under another name."""


def build(small):
    """The smallest `SoftOnly`."""
    student, teacher = small("student"), small("teacher")
    return SoftOnly(student, teacher, SoftTargets(2.0, weight=0.5), task_weight=0.5)
