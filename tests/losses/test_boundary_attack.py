"""The attack of BoundarySupport, each step against loops in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses._boundary_attack import attack, base_samples, draw_targets
from tests.helpers import random_array
from tests.losses.boundary_samples import KERNEL, numpy, read, samples, softmax


def attacked_one(x, label, target, steps=10, step_size=0.3, clip=(-2.5, 2.5)):
    """The attack on one sample, and the number of its steps."""
    x = x.astype("float64")
    for step in range(steps):
        logits = np.tanh(x) @ KERNEL
        if logits.argmax() != label:
            return x, step
        gradient = (1 - np.tanh(x) ** 2) * (KERNEL[:, target] - KERNEL[:, label])
        length = step_size * (logits[label] - logits[target] + 1e-4)
        x = np.clip(x + length * gradient / np.linalg.norm(gradient), *clip)
    return x, steps


def run_attack(x, labels, targets, valid=None, steps=10, step_size=0.3, clip=(-2.5, 2.5)):
    valid = np.ones(len(x), bool) if valid is None else valid
    arrays = [ops.convert_to_tensor(a) for a in (x, labels, targets, valid)]
    return numpy(attack(read, *arrays, steps=steps, step_size=step_size, clip=clip))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"steps": 1}, {"steps": 3, "step_size": 0.05}, {"clip": (-0.5, 0.7)}, {"step_size": 1.5}],
)
def test_the_attack_equals_a_loop_over_samples(arguments):
    x, labels, targets = samples()
    expected = [attacked_one(*one, **arguments) for one in zip(x, labels, targets, strict=True)]
    found = run_attack(x, labels, targets, **arguments)
    np.testing.assert_allclose(found, np.stack([one for one, _ in expected]), atol=1e-4)


def test_samples_stop_by_themselves():
    x, labels, targets = samples()
    taken = {attacked_one(*one, step_size=0.7)[1] for one in zip(x, labels, targets, strict=True)}
    assert len(taken) >= 3  # the reference has samples that stop early and late
    found = run_attack(x, labels, targets, step_size=0.7)
    logits = np.tanh(found) @ KERNEL
    assert (logits.argmax(-1) != labels).sum() >= len(x) // 2
    before = softmax(np.tanh(x) @ KERNEL)[np.arange(len(x)), labels]
    assert (softmax(logits)[np.arange(len(x)), labels] < before).all()


def test_samples_that_are_not_valid_or_not_right_stay():
    x, labels, targets = samples()
    valid = np.arange(len(x)) % 2 == 0
    found = run_attack(x, labels, targets, valid)
    np.testing.assert_array_equal(found[~valid], x[~valid])
    assert (found[valid] != x[valid]).any(axis=1).all()
    np.testing.assert_array_equal(run_attack(x, targets, labels), x)


def test_base_samples_are_right_in_both_and_differ_most():
    teacher, student = (random_array(40, 4, seed=n, scale=2.0) for n in (1, 2))
    labels = teacher.argmax(-1).astype("int32")
    labels[:5] = (labels[:5] + 1) % 4
    right = (teacher.argmax(-1) == labels) & (student.argmax(-1) == labels)
    squares = (softmax(teacher) - softmax(student)) ** 2
    scores = squares.sum(-1) - squares[np.arange(40), labels]
    expected = sorted(np.flatnonzero(right), key=lambda n: -scores[n])
    assert len(expected) > 5
    indices, valid = map(numpy, base_samples(teacher, student, labels, 5))
    assert valid.all()
    np.testing.assert_array_equal(indices, expected[:5])
    indices, valid = map(numpy, base_samples(teacher, student, labels, 64))
    assert indices.shape == (40,)
    np.testing.assert_array_equal(indices[valid], expected)


def test_targets_are_drawn_as_the_teacher_finds_them():
    logits = np.log(np.array([[0.6, 0.3, 0.1]], "float32")).repeat(4000, axis=0)
    labels = np.zeros(4000, "int32")
    found = numpy(draw_targets(logits, labels, keras.random.SeedGenerator(0)))
    share = np.bincount(found, minlength=3) / 4000
    np.testing.assert_allclose(share, [0.0, 0.75, 0.25], atol=0.04)
    extreme = 1e4 * np.eye(3, dtype="float32")[labels]
    found = numpy(draw_targets(extreme, labels, keras.random.SeedGenerator(0)))
    assert set(found) == {1, 2}
