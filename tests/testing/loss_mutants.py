"""Losses with one planted fault each."""

import keras
import numpy as np
from keras import ops

from tests.testing.healthy import SoftKl, loss_entry, registered, soft_kl


def _logs(teacher, student, temperature):
    teacher = ops.stop_gradient(ops.cast(teacher, "float32")) / temperature
    student = ops.cast(student, "float32") / temperature
    return ops.log_softmax(teacher), ops.log_softmax(student)


def missing_square(teacher, student, temperature=4.0):
    t, s = _logs(teacher, student, temperature)
    return ops.sum(ops.exp(t) * (t - s), axis=-1)


def reversed_kl(teacher, student, temperature=4.0):
    t, s = _logs(teacher, student, temperature)
    return temperature**2 * ops.sum(ops.exp(s) * (s - t), axis=-1)


def batch_mean(teacher, student, temperature=4.0):
    value = soft_kl(teacher, student, temperature)
    return 0.5 * value + 0.5 * ops.mean(value)


def scalar_mean(teacher, student, temperature=4.0):
    return ops.mean(soft_kl(teacher, student, temperature))


def teacher_gradient(teacher, student, temperature=4.0):
    t = ops.log_softmax(ops.cast(teacher, "float32") / temperature)
    s = ops.log_softmax(ops.cast(student, "float32") / temperature)
    return temperature**2 * ops.sum(ops.exp(t) * (t - s), axis=-1)


def student_stopped(teacher, student, temperature=4.0):
    return soft_kl(teacher, ops.stop_gradient(ops.cast(student, "float32")), temperature)


def self_compared(teacher, student, temperature=4.0):
    return soft_kl(ops.stop_gradient(student), student, temperature)


def half_epsilon(teacher, student, temperature=4.0):
    t = ops.softmax(ops.stop_gradient(ops.convert_to_tensor(teacher)) / temperature)
    s = ops.softmax(ops.convert_to_tensor(student) / temperature)
    return temperature**2 * ops.sum(t * (ops.log(t + 1e-8) - ops.log(s + 1e-8)), axis=-1)


def logarithm_of_zero(teacher, student, temperature=4.0):
    t = ops.softmax(ops.stop_gradient(ops.cast(teacher, "float32")) / temperature)
    s = ops.softmax(ops.cast(student, "float32") / temperature)
    return temperature**2 * ops.sum(t * (ops.log(t) - ops.log(s)), axis=-1)


def raw_logits(teacher, student, temperature=4.0):
    teacher = ops.stop_gradient(ops.cast(teacher, "float32"))
    return ops.mean(ops.square(teacher - ops.cast(student, "float32")), axis=-1)


def weighted_by_position(teacher, student, temperature=4.0):
    value = soft_kl(teacher, student, temperature)
    return value * np.linspace(1.0, 2.0, value.shape[0]).astype("float32")


def cross_entropy(teacher, student, temperature=4.0):
    t, s = _logs(teacher, student, temperature)
    return -(temperature**2) * ops.sum(ops.exp(t) * s, axis=-1)


def other_class(teacher, student, temperature=4.0):
    return soft_kl(teacher, student, temperature)


def forgetful_class(teacher, student, temperature=4.0):
    return soft_kl(teacher, student, temperature)


def dead_projector(teacher, student, temperature=4.0):
    return soft_kl(teacher, student, temperature)


def policy_follower(teacher, student, temperature=4.0):
    return soft_kl(teacher, student, temperature)


def undocumented(teacher, student, temperature=4.0):
    return soft_kl(teacher, student, temperature)


def _class_of(function):
    """A healthy class around a faulty function."""
    name = "".join(part.title() for part in function.__name__.split("_"))
    body = {"function": staticmethod(function), "__module__": __name__}
    return registered(type(name, (SoftKl,), body))


@registered
class OtherClass(SoftKl):
    def call(self, teacher, student):
        return soft_kl(teacher, student)[::-1]


@registered
class ForgetfulClass(SoftKl):
    def get_config(self):
        return {**super().get_config(), "temperature": 4.0}


@registered
class DeadProjector(SoftKl):
    def build(self, teacher_shape, student_shape):
        self.projector = keras.layers.Dense(teacher_shape[-1], dtype="float32", name="projector")
        self.projector.build(student_shape)


@registered
class PolicyFollower(SoftKl):
    def __init__(self, temperature=4.0, **kwargs):
        keras.layers.Layer.__init__(self, **kwargs)
        self.temperature = temperature


_FAULTS = {
    "formula": [_class_of(missing_square), _class_of(reversed_kl)],
    "sample_independence": [_class_of(batch_mean)],
    "output_shape": [_class_of(scalar_mean)],
    "gradients": [_class_of(teacher_gradient), _class_of(student_stopped)],
    "both_sides_matter": [_class_of(self_compared)],
    "half_precision": [_class_of(half_epsilon), PolicyFollower],
    "degenerate_inputs": [_class_of(logarithm_of_zero)],
    "shift_invariance": [_class_of(raw_logits)],
    "permutation": [_class_of(weighted_by_position)],
    "zero_at_equal": [_class_of(cross_entropy)],
    "function_equals_class": [OtherClass],
    "config_round_trip": [ForgetfulClass],
    "projector_gradients": [DeadProjector],
    "function_docstring": [_class_of(undocumented)],
}

# (check, healthy entry, faulty entry)
LOSSES = [
    (check, loss_entry(SoftKl), loss_entry(cls))
    for check, classes in _FAULTS.items()
    for cls in classes
]
