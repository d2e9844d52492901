import functools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses import Hint, SoftTargets, soft_targets
from kzoo.trainers import Distiller
from tests.helpers import value_and_gradients
from tests.trainers.models import CLASSES, classifier, distiller, equal, images, values

ROOT = pathlib.Path(__file__).parents[2]


class Counter(keras.layers.Layer):
    """Counts how often Python runs it."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x


def counted(name):
    inputs = keras.Input((8, 8, 1))
    counter = Counter(name=f"count_{name}")
    model = classifier(name)
    return keras.Model(inputs, model(counter(inputs)), name=name), counter


def test_one_pass_of_each_model_a_batch():
    x, y = images(12)
    student, student_count = counted("student")
    teacher, teacher_count = counted("teacher")
    losses = [SoftTargets(), Hint("stage1", "stage1"), Hint("stage2", "stage2", projector=None)]
    trainer = Distiller(student, teacher, losses)
    trainer.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    trainer.fit(x[:4], y[:4], verbose=0)  # tracing and building are done
    student_count.calls = teacher_count.calls = 0
    trainer.fit(x, y, batch_size=4, verbose=0)
    assert (student_count.calls, teacher_count.calls) == (3, 3)
    trainer.evaluate(x, y, batch_size=4, verbose=0)
    trainer.predict(x, batch_size=4, verbose=0)
    assert (student_count.calls, teacher_count.calls) == (9, 3)


def test_three_steps_equal_a_loop_by_hand():
    x, y = images(12)
    rate, models = 0.1, []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        models.append([classifier(n, statistics=False) for n in ("student", "teacher")])
    student, teacher = models[0]
    trainer = Distiller(student, teacher, SoftTargets(2.0, weight=0.7), task_weight=0.3)
    trainer.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    trainer.fit(x, y, batch_size=4, shuffle=False, verbose=0)

    student, teacher = models[1]
    logits = keras.Model(student.input, student.get_layer("logits").output)
    shown = keras.Model(teacher.input, teacher.get_layer("logits").output)
    for start in (0, 4, 8):
        images_, labels = x[start : start + 4], y[start : start + 4]
        target = ops.convert_to_numpy(shown(images_))

        def loss(images_=images_, labels=labels, target=target):
            found = logits(images_)
            task = keras.losses.sparse_categorical_crossentropy(labels, found, from_logits=True)
            return 0.3 * ops.mean(task) + 0.7 * ops.mean(soft_targets(target, found, 2.0))

        _, gradients, _ = value_and_gradients(loss, student.trainable_variables)
        for variable, gradient in zip(student.trainable_variables, gradients, strict=True):
            variable.assign(ops.convert_to_numpy(variable) - rate * gradient)
    for ours, theirs in zip(trainer.student.weights, student.weights, strict=True):
        np.testing.assert_allclose(*values([ours, theirs]), rtol=1e-4, atol=1e-6)


@pytest.mark.tensorflow
def test_statistics_and_slots_equal_a_loop_with_a_tape():
    import tensorflow as tf

    x, y = images(12)
    # Not Adam: it magnifies the rounding errors of the biases before a normalisation.
    make = functools.partial(keras.optimizers.SGD, 0.1, momentum=0.9)
    # Half the sum of 4 x 4 x 8 squares, times this, is their mean.
    hint = Hint("stage2", "stage2", weight=2 / 128)
    trainer = distiller([hint], student=classifier("student"), optimizer=make(), run_eagerly=False)
    student, teacher = keras.models.clone_model(trainer.student), trainer.teacher
    student.set_weights(trainer.student.get_weights())
    projector = keras.Sequential([keras.Input((4, 4, 4)), keras.layers.Conv2D(8, 1)])
    projector.set_weights(hint.get_weights())
    trainer.fit(x, y, batch_size=4, shuffle=False, verbose=0)

    both = keras.Model(student.input, [student.get_layer("stage2").output, student.output])
    shown = keras.Model(teacher.input, teacher.get_layer("stage2").output)
    optimizer = make()
    variables = student.trainable_variables + projector.trainable_variables
    for start in (0, 4, 8):
        with tf.GradientTape() as tape:
            feature, predicted = both(x[start : start + 4], training=True)
            target = shown(x[start : start + 4], training=False)
            task = keras.losses.sparse_categorical_crossentropy(y[start : start + 4], predicted)
            loss = ops.mean(task) + ops.mean(ops.square(projector(feature) - target))
        optimizer.apply(tape.gradient(loss, variables), variables)
    for ours, theirs in zip(trainer.student.weights, student.weights, strict=True):
        np.testing.assert_allclose(*values([ours, theirs]), rtol=1e-4, atol=1e-5)


def test_weights_of_terms_follow_their_schedules():
    x, y = images(8)
    halves = keras.optimizers.schedules.PiecewiseConstantDecay([0], [2.0, 0.5])
    losses = [SoftTargets(weight=halves), SoftTargets(weight=1.0, name="plain")]
    sgd = keras.optimizers.SGD(0.0)
    trainer = distiller(losses, optimizer=sgd, task_weight=halves, run_eagerly=False)
    trainer.student.get_layer("dropout").rate = 0.0
    # Batches of the same samples: the unweighted terms are the same in both.
    x, y = np.concatenate([x, x]), np.concatenate([y, y])
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    logs = trainer.fit(x, y, **options).history
    np.testing.assert_allclose(logs["soft_targets"][0], 1.25 * logs["plain"][0], rtol=1e-3)
    total = logs["task_loss"][0] + logs["soft_targets"][0] + logs["plain"][0]
    np.testing.assert_allclose(logs["loss"][0], total, rtol=1e-5)
    later = trainer.fit(x, y, **options).history
    np.testing.assert_allclose(later["soft_targets"][0], 0.5 * later["plain"][0], rtol=1e-5)


def test_terms_have_names_of_their_own():
    losses = [Hint("stage1", "stage1"), Hint("stage2", "stage2"), SoftTargets(name="mild")]
    losses += [SoftTargets(8.0), SoftTargets(name="loss")]
    logs = distiller(losses).fit(*images(4), verbose=0).history
    expected = {"hint", "hint_2", "mild", "soft_targets", "loss_2", "task_loss"}
    assert set(logs) == {"loss", "teacher_accuracy", "agreement"} | expected


def test_zero_sample_weights_leave_nothing():
    x, y = images(8)
    losses = [SoftTargets(), Hint("stage2", "stage2")]
    trainer = distiller(losses, optimizer=keras.optimizers.SGD(0.1))
    before = values(trainer.trainable_variables)
    with pytest.warns(UserWarning, match="exactly 0"):
        logs = trainer.fit(x, y, sample_weight=np.zeros(8), verbose=0).history
    assert logs["loss"] == [0.0]
    assert equal(before, values(trainer.trainable_variables))


def test_class_weights_are_sample_weights():
    x, y = images(8)
    weights = {0: 0.5, 1: 0.0, 2: 2.0}
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    found = []
    for given in (
        {"class_weight": weights},
        {"sample_weight": np.array([weights[c] for c in y])},
        {"sample_weight": np.ones(8)},
    ):
        trainer = distiller()
        trainer.fit(x, y, **given, **options)
        found.append(values(trainer.trainable_variables))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_a_student_with_two_outputs():
    x, y = images(8)
    base = classifier("student")
    side = keras.layers.Dense(1, name="side")(base.get_layer("pooled").output)
    student = keras.Model(base.input, {"main": base.output, "side": side}, name="student")
    losses = {"main": "sparse_categorical_crossentropy", "side": "mse"}
    trainer = distiller([Hint("stage2", "stage2")], student=student, loss=losses)
    labels = {"main": y, "side": y.astype("float32")}
    logs = trainer.fit(x, labels, batch_size=4, verbose=0).history
    np.testing.assert_allclose(
        logs["task_loss"][0], logs["main_loss"][0] + logs["side_loss"][0], rtol=1e-5
    )
    assert "teacher_accuracy" not in logs
    assert set(trainer.predict(x, verbose=0)) == {"main", "side"}


def test_the_teacher_alone_teaches():
    trainer = distiller(loss=None, metrics=["accuracy"])
    logs = trainer.fit(*images(8), verbose=0).history
    assert "task_loss" not in logs
    assert trainer.evaluate(*images(8), verbose=0, return_dict=True)["loss"] == 0.0
    logs = distiller(task_weight=0).fit(*images(8), verbose=0).history
    assert "task_loss" not in logs


def test_diagnostics():
    x, y = images(9)
    trainer = distiller(optimizer=keras.optimizers.SGD(0.0))
    trainer.student.get_layer("dropout").rate = 0.0
    for layer in trainer.student.layers:  # training mode then predicts as inference mode
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    teacher = np.argmax(trainer.teacher.predict(x, verbose=0), -1)
    student = np.argmax(trainer.predict(x, verbose=0), -1)
    for labels in (y, np.eye(CLASSES)[y]):
        loss = "sparse_" * (labels.ndim == 1) + "categorical_crossentropy"
        trainer.compile(keras.optimizers.SGD(0.0), loss)
        logs = trainer.fit(x, labels, batch_size=4, verbose=0).history
        np.testing.assert_allclose(logs["teacher_accuracy"], [np.mean(teacher == y)], rtol=1e-6)
        np.testing.assert_allclose(logs["agreement"], [np.mean(teacher == student)], rtol=1e-6)


def test_warnings_after_the_first_epoch():
    x, _ = images(90)
    trainer = distiller([SoftTargets()])
    wrong = (np.argmax(trainer.teacher.predict(x, verbose=0), -1) + 1) % CLASSES
    with pytest.warns(UserWarning, match=r"right for 0\.0% of the samples, no better than chance"):
        trainer.fit(x, wrong, epochs=2, verbose=0)
    twin = keras.models.clone_model(trainer.student)
    twin.set_weights(trainer.student.get_weights())
    for layer in trainer.student.layers:
        layer.trainable = layer.name == "logits"
    trainer.student.get_layer("dropout").rate = 0.0
    same = Distiller(trainer.student, twin, SoftTargets())
    same.compile(keras.optimizers.SGD(0.0))
    with pytest.warns(UserWarning, match="'soft_targets' was exactly 0 for a whole epoch"):
        same.fit(x[:8], wrong[:8], verbose=0)


def test_a_teacher_at_chance_is_noticed_beside_validation():
    x, _ = images(90)
    trainer = distiller([SoftTargets()])
    wrong = (np.argmax(trainer.teacher.predict(x, verbose=0), -1) + 1) % CLASSES
    with pytest.warns(UserWarning, match="no better than chance"):
        trainer.fit(x, wrong, validation_data=(x[:8], wrong[:8]), verbose=0)


def test_a_student_may_have_an_input_that_is_called_inputs():
    parts = {name: keras.Input((4,), name=name) for name in ("inputs", "extra")}
    both = keras.layers.Concatenate()(list(parts.values()))
    models = [
        keras.Model(parts, keras.layers.Dense(CLASSES)(both), name=name)
        for name in ("student", "teacher")
    ]
    trainer = Distiller(*models, SoftTargets())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile("sgd", loss, run_eagerly=True)
    x = {name: np.ones((6, 4), "float32") for name in parts}
    trainer.fit(x, np.arange(6) % CLASSES, verbose=0)
    assert trainer.predict(x, verbose=0).shape == (6, CLASSES)


def test_callbacks_in_every_form():
    trainer, seen = distiller(), []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    trainer.fit(*images(4), verbose=0, callbacks=watch)
    trainer.fit(*images(4), verbose=0, callbacks=[watch])
    whole = keras.callbacks.CallbackList([watch], add_history=True, model=trainer)
    trainer.fit(*images(4), verbose=0, callbacks=whole)
    assert seen == [0, 0, 0]


def test_config_round_trip(tmp_path):
    decay = keras.optimizers.schedules.PolynomialDecay(1.0, 10)
    trainer = distiller([SoftTargets(3.0, weight=decay)], task_weight=decay)
    trainer.fit(*images(4), verbose=0)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert [loss.get_config() for loss in loaded.distillation_losses] == [
        loss.get_config() for loss in trainer.distillation_losses
    ]
    assert loaded.task_weight.get_config() == decay.get_config()
    assert equal(values(loaded.teacher.weights), values(trainer.teacher.weights))


def test_subclassed_models_are_built_first():
    class Small(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.hidden = keras.layers.Dense(units, "relu", name="hidden")
            self.head = keras.layers.Dense(CLASSES, name="head")

        def build(self, input_shape):
            self.hidden.build(input_shape)
            self.head.build((None, self.hidden.units))

        def call(self, x):
            return self.head(self.hidden(x))

    x, y = np.zeros((4, 5), "float32"), np.zeros(4, "int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer = Distiller(Small(2), Small(4), [SoftTargets(teacher_tap="head", student_tap="head")])
    trainer.build((None, 5))
    trainer.compile("sgd", loss)
    logs = trainer.fit(x + 1, y, verbose=0).history
    assert {"task_loss", "soft_targets"} <= set(logs)


def test_bad_arguments():
    student, teacher = classifier("student"), classifier("teacher", classes=CLASSES + 2)
    with pytest.raises(ValueError, match=rf"{CLASSES + 2} classes of the teacher, {CLASSES} of"):
        Distiller(student, teacher, SoftTargets())
    logs = distiller([Hint("stage2", "stage2")], student=student, teacher=teacher)
    assert "agreement" not in logs.fit(*images(4), verbose=0).history
    with pytest.raises(ValueError, match="share 10 trainable variables, the first is"):
        Distiller(student, student, SoftTargets())
    with pytest.raises(ValueError, match=r"must be a kzoo\.losses\.DistillationLoss"):
        Distiller(student, teacher, keras.losses.KLDivergence)
    with pytest.raises(ValueError, match=r"list of them. Received: \[\]"):
        Distiller(student, teacher, [])
    with pytest.raises(ValueError, match="`task_weight` must be a number >= 0"):
        Distiller(student, teacher, Hint("stage2", "stage2"), task_weight=-1.0)
    with pytest.raises(ValueError, match="stage7"):
        Distiller(student, teacher, Hint("stage7", "stage2"))
    large = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="must take the same inputs"):
        Distiller(student, large, SoftTargets())


_REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kzoo.losses import Hint, SoftTargets
from tests.trainers.models import classifier, distiller, images, rivals, values

def run(make, data):
    trainer = make()
    logs = trainer.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0,
                       validation_data=data).history
    return values(trainer.trainable_variables), logs

def make():
    keras.utils.set_random_seed(0)
    parts = [classifier(n, statistics=False, regularizer="l2") for n in ("student", "teacher")]
    return distiller([SoftTargets(), Hint("stage2", "stage2")], student=parts[0],
                     teacher=parts[1], optimizer=keras.optimizers.SGD(0.1), run_eagerly=False)

line = np.linspace(-1, 1, 8).reshape(8, 1)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for build, data in ((make, images(8)), (rivals, (line, 2 * line))):
    one, logs = run(build, data)
    with strategy.scope():
        two, mirrored = run(build, data)
    assert set(logs) == set(mirrored), (set(logs), set(mirrored))
    for name in logs:
        np.testing.assert_allclose(mirrored[name], logs[name], rtol=1e-4, err_msg=name)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
print("equal")
"""


@pytest.mark.tensorflow
def test_two_replicas_equal_one():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    process = subprocess.run(
        [sys.executable, "-c", _REPLICAS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.strip().endswith("equal"), process.stderr[-2000:]
