"""Every loss in a Distiller: alone, together, on unlike architectures, in every mode."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from kzoo import losses, registry
from kzoo.applications import DenseNetBC, LeNet5, ResNet
from kzoo.trainers import Distiller, Teacher
from tests.trainers.every_loss import ATTACKS, SAMPLES, every_loss
from tests.trainers.models import equal, values

ROOT = pathlib.Path(__file__).parents[2]
STAGES = ("stage1", "stage2", "stage3")
SPARSE = "sparse_categorical_crossentropy"
NAMES = list(every_loss(STAGES, STAGES))


def batch(shape=(8, 8, 1), classes=10):
    images = np.random.default_rng(0).standard_normal((SAMPLES, *shape)).astype("float32")
    columns = {"inputs": images, "sample_index": np.arange(SAMPLES, dtype="int32")}
    return columns, np.arange(SAMPLES) % classes


def resnets(shape=(8, 8, 1)):
    """A teacher whose logits are large enough to be attacked, and a student."""
    keras.utils.set_random_seed(0)
    return [
        ResNet(8, filters=filters, input_shape=shape, name=name)
        for name, filters in (("teacher", 4), ("student", 2))
    ]


def densenets():
    keras.utils.set_random_seed(0)
    return [
        DenseNetBC(10, growth, input_shape=(16, 16, 1), name=name)
        for name, growth in (("teacher", 4), ("student", 2))
    ]


def resnet_and_lenet():
    keras.utils.set_random_seed(0)
    teacher = ResNet(8, filters=4, input_shape=(28, 28, 1), name="teacher")
    return teacher, LeNet5(input_shape=(28, 28, 1), name="student")


def mobilenet_and_resnet():
    keras.utils.set_random_seed(0)
    teacher = keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), alpha=0.35, weights=None, classes=10
    )
    larger = keras.layers.Resizing(96, 96)
    student = ResNet(8, filters=4, input_shape=(32, 32, 3), name="student")
    return Teacher(teacher, preprocess=larger), student


PAIRS = {
    "DenseNetBC-DenseNetBC": (
        densenets,
        (16, 16, 1),
        {"teacher": STAGES, "student": STAGES, "margins": [-0.5] * 3, "connect": True},
    ),
    "ResNet-LeNet5": (
        resnet_and_lenet,
        (28, 28, 1),
        {"teacher": ("stage1", "stage3"), "student": ("stage1", "stage2"), "connect": True},
    ),
    "MobileNetV2-ResNet": (
        mobilenet_and_resnet,
        (32, 32, 3),
        {
            "teacher": ("stage2", "stage4"),
            "student": ("stage1", "stage3"),
            "margins": [-0.5] * 2,
            "connect": True,
        },
    ),
}


QUICK = "ResNet-LeNet5"
# Here it acts beside the others, as if it had been trained.
pytestmark = pytest.mark.filterwarnings("ignore:The loss 'factor_transfer.* has a stage before")


def test_the_list_is_complete():
    assert sorted(NAMES) == sorted(entry.name for entry in registry.entries("loss"))


def trained(models, given, shape, **options):
    """A distiller after one epoch of two batches, and its logs."""
    teacher, student = models
    trainer = Distiller(student, teacher, given, task_weight=options.pop("task_weight", 1.0))
    trainer.compile(keras.optimizers.SGD(1e-3), SPARSE, **options)
    x, y = batch(shape)
    return trainer, trainer.fit(x, y, batch_size=8, shuffle=False, verbose=0).history


def terms(logs):
    """The names of the distillation terms."""
    known = ("loss", "task_loss", "teacher_accuracy", "agreement", "regularization")
    return [name for name in logs if name not in known and not name.endswith("_disagreement")]


# An untrained pair agrees on little, so there may be nothing to attack.
@pytest.mark.filterwarnings("ignore:The term 'boundary_support' was exactly 0")
# Without the labels nothing trains what lies behind the tap, and Keras says so.
@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")
@pytest.mark.parametrize("name", NAMES)
def test_each_alone_teaches(name):
    models = resnets()
    before, frozen = values(models[1].trainable_variables), values(models[0].weights)
    loss = every_loss(STAGES, STAGES, connect=True)[name]()
    trainer, logs = trained(models, loss, (8, 8, 1), task_weight=0.0)
    (term,) = terms(logs)
    assert np.isfinite(logs["loss"]).all()
    if name != ATTACKS:
        assert logs[term][0] > 0
        assert not equal(before, values(trainer.student.trainable_variables))
    assert equal(frozen, values(models[0].weights))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The term 'boundary_support' was exactly 0")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pair", PAIRS)
def test_each_alone_on_any_pair_of_models(pair, name):
    make, shape, taps = PAIRS[pair]
    _, logs = trained(make(), every_loss(**taps)[name](), shape)
    (term,) = terms(logs)
    np.testing.assert_allclose(logs["loss"][0], logs[term][0] + logs["task_loss"][0], rtol=1e-4)
    assert np.isfinite(logs["loss"][0])


@pytest.mark.filterwarnings("ignore:The term 'boundary_support' was exactly 0")
@pytest.mark.parametrize(
    "pair", [p if p == QUICK else pytest.param(p, marks=pytest.mark.slow) for p in PAIRS]
)
def test_all_together_on_any_pair_of_models(pair):
    make, shape, taps = PAIRS[pair]
    given = [loss() for loss in every_loss(**taps).values()]
    _, logs = trained(make(), given, shape)
    assert len(terms(logs)) == len(NAMES)
    np.testing.assert_allclose(
        logs["loss"][0], sum(logs[n][0] for n in (*terms(logs), "task_loss")), rtol=1e-4
    )


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:The term 'boundary_support' was exactly 0")
def test_eager_equals_graph_with_all_losses():
    found = []
    for eager in (True, False):
        given = [loss() for loss in every_loss(STAGES, STAGES, connect=True).values()]
        found.append(trained(resnets(), given, (8, 8, 1), run_eagerly=eager, jit_compile=False))
    (one, first), (other, second) = found
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=2e-3, atol=1e-4, err_msg=name)
    for a, b in zip(*(values(t.student.trainable_variables) for t in (one, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:The term 'boundary_support' was exactly 0")
@pytest.mark.parametrize("pair", PAIRS)
def test_eager_equals_graph_on_any_pair_of_models(pair):
    make, shape, taps = PAIRS[pair]
    found = []
    for eager in (True, False):
        given = [loss() for loss in every_loss(**taps).values()]
        found.append(trained(make(), given, shape, run_eagerly=eager, jit_compile=False)[1])
    for name in terms(found[0]):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=2e-2, err_msg=name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The term 'boundary_support' was exactly 0")
def test_all_together_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    models = resnets()
    given = [loss() for loss in every_loss(STAGES, STAGES, connect=True).values()]
    trainer, logs = trained(models, given, (8, 8, 1))
    assert all(np.isfinite(value).all() for value in logs.values())
    assert {str(v.dtype) for v in trainer.trainable_variables} == {"float32"}


class Counter(keras.layers.Layer):
    """Counts how often Python runs it."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x


def counted(model):
    counter = Counter(name="counter")
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, model(counter(inputs)), name=model.name), counter


def test_one_pass_of_each_model_a_batch_whatever_the_losses():
    (teacher, taught), (student, learned) = (counted(model) for model in resnets())
    losses = every_loss(STAGES, STAGES, connect=True)
    losses.pop(ATTACKS)  # asks both models about new images
    trainer = Distiller(student, teacher, [loss() for loss in losses.values()])
    eager = {"run_eagerly": True} if keras.backend.backend() != "jax" else {"jit_compile": False}
    trainer.compile(keras.optimizers.SGD(1e-3), SPARSE, **eager)
    x, y = batch()
    trainer.train_on_batch(x, y)  # tracing and building are done
    taught.calls = learned.calls = 0
    for _ in range(3):
        trainer.train_on_batch(x, y)
    assert (taught.calls, learned.calls) == (3, 3)


_REPLICAS = """
import warnings
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
warnings.simplefilter("ignore")
from tests.trainers.every_loss import every_loss
from tests.trainers.test_every_loss import STAGES, resnets, trained

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    given = [loss() for loss in every_loss(STAGES, STAGES, connect=True).values()]
    trainer, logs = trained(resnets(), given, (8, 8, 1), jit_compile=False)
assert all(np.isfinite(value).all() for value in logs.values()), logs
# What a replica sees is what a plain batch of its half would give: batch-coupled losses
# relate the samples of a replica with each other, so the mean over replicas is the mean of halves.
names = ("soft_targets", "relational_distance", "similarity_preserving", "probabilistic_transfer")
table = every_loss(STAGES, STAGES, connect=True)
picked = ["SoftTargets", "RelationalDistance", "SimilarityPreserving", "ProbabilisticTransfer"]
def run(size, scope):
    from tests.trainers.test_every_loss import SPARSE, batch
    from kzoo.trainers import Distiller
    with scope:
        models = resnets()
        for model in models:  # statistics of a batch would differ with its size
            for layer in model.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
        trainer = Distiller(models[1], models[0], [table[name]() for name in picked])
        trainer.compile(keras.optimizers.SGD(0.0), SPARSE, jit_compile=False)
    x, y = batch()
    return trainer.fit(x, y, batch_size=size, shuffle=False, verbose=0).history
import contextlib
plain, mirrored = run(8, contextlib.nullcontext()), run(16, strategy.scope())
for name in names:
    np.testing.assert_allclose(plain[name], mirrored[name], rtol=1e-3, err_msg=name)
print("equal")
"""


@pytest.mark.tensorflow
@pytest.mark.slow
def test_two_replicas_couple_the_samples_of_each():
    done = subprocess.run(
        [sys.executable, "-c", _REPLICAS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "equal" in done.stdout


def test_the_connectors_are_trained_saved_and_dropped_at_export(tmp_path):
    given = [
        losses.ActivationBoundary(STAGES, STAGES, name="ab"),
        losses.ContrastiveRepresentation(SAMPLES, seed=0, embedding_size=4),
    ]
    trainer, _ = trained(resnets(), given, (8, 8, 1))
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras")
    for ours, theirs in zip(trainer.distillation_losses, again.distillation_losses, strict=True):
        assert ours.weights
        assert equal(values(ours.weights), values(theirs.weights))
    names = " ".join(v.path for v in trainer.student.weights)
    assert "connector" not in names
