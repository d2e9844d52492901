"""BoundarySupport: the value by hand, what it trains, seeds, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses import BoundarySupport, boundary_support
from kzoo.losses._boundary_attack import attack, base_samples
from tests.helpers import random_array, value_and_gradients
from tests.losses.boundary_samples import KERNEL, numpy, read, samples, softmax


def test_the_value_by_hand():
    teacher, student = np.array([[3.0, 0.0]], "float32"), np.array([[0.0, 3.0]], "float32")
    p = 1 / (1 + np.exp(-1))
    expected = -p * np.log(1 - p) - (1 - p) * np.log(p)
    assert float(boundary_support(teacher, student)[0]) == pytest.approx(expected, rel=1e-5)


def networks():
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="t")])
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="s")])
    teacher.set_weights([KERNEL, np.zeros(3)])
    student.set_weights([KERNEL + 0.3 * random_array(4, 3), np.zeros(3)])
    return teacher, student


def told(x, labels, teacher, student):
    return {"labels": labels, "inputs": x, "read_teacher": teacher, "read_student": student}


@pytest.mark.parametrize("variant", ["paper", "reference"])
@pytest.mark.parametrize("num_samples", [3, 64])
def test_value_and_gradient_of_the_class(variant, num_samples):
    """Two classes leave one target, so the attack can be repeated outside."""
    x = random_array(16, 4, seed=6)
    first, second = (random_array(4, 2, seed=n) for n in (7, 8))
    second = first + 0.5 * second
    labels = (x @ first).argmax(-1).astype("int32")
    dense = keras.layers.Dense(2, name="student", use_bias=False)
    dense.build((None, 4))
    dense.set_weights([second])
    loss = BoundarySupport(num_samples=num_samples, variant=variant, clip=1.5)
    context = told(x, labels, lambda x: ops.matmul(x, first), dense)
    value, (gradient,), _ = value_and_gradients(
        lambda: loss(x @ first, x @ second, **context), dense.trainable_variables
    )
    indices, valid = map(numpy, base_samples(x @ first, x @ second, labels, num_samples))
    assert valid.any()
    assert num_samples == 3 or not valid.all()
    chosen = indices[valid]
    arrays = map(ops.convert_to_tensor, (x, labels, 1 - labels, np.ones(16, bool)))
    moved = attack(context["read_teacher"], *arrays, steps=10, step_size=0.3, clip=(-1.5, 1.5))
    moved = numpy(moved)[chosen]
    count = 16 if variant == "paper" else len(chosen)
    p, q = softmax(moved @ first / 3), softmax(moved @ second / 3)
    assert value == pytest.approx(-(p * np.log(q)).sum() / count, rel=1e-4)
    np.testing.assert_allclose(gradient, moved.T @ (q - p) / 3 / count, rtol=1e-3, atol=1e-6)


def test_no_sample_that_both_get_right_is_exactly_nothing():
    teacher, student = networks()
    x = samples()[0]
    wrong = ((np.asarray(x @ KERNEL).argmax(-1) + 1) % 3).astype("int32")
    for variant in ("paper", "reference"):
        loss = BoundarySupport(variant=variant)
        value, gradients, _ = value_and_gradients(
            lambda loss=loss: loss(teacher(x), student(x), **told(x, wrong, teacher, student)),
            student.trainable_variables,
        )
        assert value == 0.0
        assert all(not g.any() for g in gradients)


def test_a_seed_repeats_the_value():
    teacher, student = networks()
    x = samples()[0]
    labels = (x @ KERNEL).argmax(-1).astype("int32")
    context = told(x, labels, teacher, student)
    values = []
    for seed in (1, 1, 2, 3):
        value = BoundarySupport(seed=seed)(teacher(x), student(x), **context)
        assert value.shape == ()
        values.append(float(numpy(value)))
    assert values[0] == values[1]
    assert len(set(values)) > 1


class Trainer(keras.Model):
    """Trains a student on the loss alone, as a trainer does."""

    def __init__(self, teacher, student, loss):
        super().__init__()
        self.teacher, self.student, self.term = teacher, student, loss
        self.teacher.trainable = False

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        clean = self.teacher(x, training=False)
        reading = told(
            x,
            y,
            lambda x: self.teacher(x, training=False),
            lambda x: self.student(x, training=training),
        )
        return self.term(clean, y_pred, **reading)


def test_it_trains_in_a_compiled_step_with_a_short_last_batch():
    teacher, student = networks()
    x = random_array(20, 4, seed=3)
    labels = (x @ KERNEL).argmax(-1).astype("int32")
    loss = BoundarySupport(num_samples=8, seed=0)
    loss.build((None, 3), (None, 3))
    trainer = Trainer(teacher, student, loss)
    trainer.compile(optimizer=keras.optimizers.SGD(1.0))
    before = student.get_weights()
    history = trainer.fit(x, labels, batch_size=12, epochs=3, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] > 0
    assert np.abs(student.get_weights()[0] - before[0]).max() > 1e-3
    np.testing.assert_array_equal(teacher.get_weights()[0], KERNEL)


def test_labels_with_an_axis_are_the_same_and_one_hot_ones_are_refused():
    teacher, student = networks()
    x, values = samples()[0], []
    labels = (x @ KERNEL).argmax(-1).astype("int32")
    for given in (labels, labels[:, None]):
        told_so = told(x, given, teacher, student)
        values.append(float(numpy(BoundarySupport(seed=1)(teacher(x), student(x), **told_so))))
    assert values[0] == values[1] > 0
    one_hot = np.eye(3, dtype="int32")[labels]
    with pytest.raises(ValueError, match=r"one-hot labels.*argmax"):
        BoundarySupport()(teacher(x), student(x), **told(x, one_hot, read, read))


def test_images_go_through_the_attack():
    x = random_array(5, 6, 4, 1)
    model = keras.Sequential(
        [keras.Input((6, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    labels = numpy(ops.argmax(model(x), -1)).astype("int32")
    value = BoundarySupport()(model(x), model(x), **told(x, labels, model, model))
    assert float(numpy(value)) > 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.zeros((2, 4), "float32")] * 2, "one input tensor of floats.*Received: list"),
        (np.zeros((2, 4), "uint8"), "Received: a tensor of .*uint8"),
    ],
)
def test_inputs_that_cannot_be_attacked(inputs, message):
    logits = np.eye(2, 3, dtype="float32")
    with pytest.raises(ValueError, match=message):
        BoundarySupport()(logits, logits, **told(inputs, np.array([0, 1]), read, read))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "`temperature` must be a finite number > 0"),
        ({"num_samples": 0}, "`num_samples` must be an integer >= 1"),
        ({"steps": 1.5}, "`steps` must be an integer >= 1"),
        ({"step_size": -1.0}, "`step_size` must be a finite number > 0"),
        ({"clip": -2.5}, "`clip` must be a finite number > 0"),
        ({"clip": (1.0, 0.0)}, r"`clip` must be a number > 0 or a pair \(low, high\)"),
        ({"variant": "code"}, "`variant` must be one of"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BoundarySupport(**arguments)


def test_other_classes_are_refused():
    with pytest.raises(ValueError, match="5 classes of the teacher, 3 of the student"):
        BoundarySupport().build((None, 5), (None, 3))
