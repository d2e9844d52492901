"""Distillers with one planted fault each."""

import keras
from keras import ops

from kzoo.losses import Hint, SoftTargets
from kzoo.registry import Entry
from kzoo.trainers import Distiller, Update
from tests.testing.healthy import registered


def entry(target, build=None):
    """An entry of a distiller with a loss of logits and one with a projector."""

    def usual(small):
        return target(small("student"), small("teacher"), losses())

    tiny = {"build": usual if build is None else lambda small: build(target, small)}
    return Entry("trainer", target.__name__, target, tiny=tiny, facts={"players": ("model",)})


def losses(hint_name="hint"):
    return [SoftTargets(name="soft_targets"), Hint("stage2", "stage2", name=hint_name)]


@registered
class Healthy(Distiller):
    pass


@registered
class TeacherInTrainingMode(Distiller):
    def call_frozen(self, model, x):
        return model(x, training=True)


@registered
class ComparedWithItself(Distiller):
    """The student's taps stand on both sides."""

    def call_frozen(self, model, x):
        seen = super().call_frozen(self._pair.read_student, x)
        wanted = super().call_frozen(model, x)
        return {name: seen[name] if name != "stage2" else 0 * wanted[name] for name in wanted}


@registered
class NeverAsksTheTeacher(Distiller):
    """Zeros of the right shapes instead of the teacher's features."""

    def call_frozen(self, model, x):
        shapes = {**model.tap_shapes, "outputs": model.tap_shapes["logits"]}
        return {name: ops.zeros((8, *shape[1:])) for name, shape in shapes.items()}


@registered
class FreezesInPlace(Distiller):
    def __init__(self, student, teacher, losses, task_weight=1.0, **kwargs):
        teacher.trainable = False
        super().__init__(student, teacher, losses, task_weight, **kwargs)


@registered
class OwnsTheTeacher(Distiller):
    def __init__(self, student, teacher, losses, task_weight=1.0, **kwargs):
        super().__init__(student, teacher, losses, task_weight, **kwargs)
        self.model_of_teacher = teacher


@registered
class EvaluatesInTrainingMode(Distiller):
    def call(self, inputs, training=None):
        return self.student(inputs, training=True)


@registered
class EvaluatesTheTeacher(Distiller):
    def call(self, inputs, training=None):
        self.teacher(inputs, training=False)
        return super().call(inputs, training=training)


@registered
class TermLeftOut(Distiller):
    def run_update(self, update, x, y, sample_weight):
        y_pred, total = super().run_update(update, x, y, sample_weight)
        return y_pred, total - ops.stop_gradient(0.5 * total)


@registered
class Climbs(Distiller):
    def run_update(self, update, x, y, sample_weight):
        y_pred, total = super().run_update(update, x, y, sample_weight)
        return y_pred, 2 * ops.stop_gradient(total) - total


@registered
class ForgetsProjector(Distiller):
    def updates(self):
        return [Update("model", self.compute_terms, self.student.trainable_variables)]


@registered
class UntrackedProjector(Distiller):
    @property
    def trainable_variables(self):
        return self.student.trainable_variables


@registered
class RunsTwice(Distiller):
    def compute_terms(self, x, y, sample_weight, training):
        self.student(x, training=True)
        return super().compute_terms(x, y, sample_weight, training)


@registered
class IgnoresSampleWeight(Distiller):
    def compute_terms(self, x, y, sample_weight, training):
        return super().compute_terms(x, y, None, training)


@registered
class DropsRegularizers(Distiller):
    def run_update(self, update, x, y, sample_weight):
        y_pred, total = super().run_update(update, x, y, sample_weight)
        return y_pred, total - sum(self.student.losses)


@registered
class CountsInPython(Distiller):
    """A Python number that a graph freezes."""

    steps = 0

    def compute_terms(self, x, y, sample_weight, training):
        self.__dict__["steps"] = self.steps + 1
        y_pred, terms = super().compute_terms(x, y, sample_weight, training)
        return y_pred, {name: term / self.steps for name, term in terms.items()}


@registered
class OverflowsInHalf(Distiller):
    def compute_terms(self, x, y, sample_weight, training):
        y_pred, terms = super().compute_terms(x, y, sample_weight, training)
        dtype = self.student.compute_dtype
        return y_pred, {n: ops.cast(t, dtype) * 1e6 / 1e6 for n, t in terms.items()}


@registered
class NotCompiledAgain(Distiller):
    def compile_from_config(self, config):
        pass


@registered
class ForgetsTaskWeight(Distiller):
    def get_config(self):
        return {**super().get_config(), "task_weight": 0.25}


@registered
class PredictsLogarithms(Distiller):
    def call(self, inputs, training=None):
        return ops.log(super().call(inputs, training=training))


@registered
class ExportsTheTeacher(Distiller):
    def export(self, path, **kwargs):
        x = keras.Input((8, 8, 1))
        outputs = self.student(x) + 0 * self.teacher(x)
        keras.Model(x, outputs).export(path, verbose=False)


@registered
class ExportsInTrainingMode(Distiller):
    def export(self, path, **kwargs):
        x = keras.Input((8, 8, 1))
        keras.Model(x, self.student(x, training=True)).export(path, verbose=False)


@registered
class Own(keras.layers.Layer):
    """A layer that a process without the tests does not know."""

    def call(self, x):
        return x


def _with_own_layer(target, small):
    student = small("student")
    outputs = Own(name="own")(student.output)
    return target(keras.Model(student.input, outputs), small("teacher"), losses())


def _without_names(target, small):
    return target(small("student"), small("teacher"), losses(hint_name=None))


_FAULTS = {
    "teacher_in_inference_mode": [TeacherInTrainingMode],
    "teacher_matters": [ComparedWithItself, NeverAsksTheTeacher],
    "frozen_untouched": [TeacherInTrainingMode, FreezesInPlace, OwnsTheTeacher],
    "evaluate_changes_nothing": [EvaluatesInTrainingMode, EvaluatesTheTeacher],
    "terms_sum_to_loss": [TermLeftOut],
    "loss_falls": [Climbs],
    "right_variables_move": [ForgetsProjector, UntrackedProjector],
    "statistics_once": [RunsTwice],
    "sample_weights": [IgnoresSampleWeight],
    "regularizers": [DropsRegularizers],
    "eager_equals_graph": [CountsInPython],
    "mixed_precision": [OverflowsInHalf],
    "save_and_resume": [NotCompiledAgain, ForgetsTaskWeight],
    "predicts_as_result": [PredictsLogarithms],
    "saved_model": [ExportsTheTeacher, ExportsInTrainingMode],
}
HEALTHY = entry(Healthy)

# (check, healthy entry, faulty entry)
TRAINERS = [
    *((check, HEALTHY, entry(fault)) for check, faults in _FAULTS.items() for fault in faults),
    ("result_without_kzoo", HEALTHY, entry(Healthy, _with_own_layer)),
    ("explicit_names", HEALTHY, entry(Healthy, _without_names)),
]
