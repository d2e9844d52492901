"""ContrastMemory: how it starts and learns, and which negatives are drawn from it."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses import ContrastiveRepresentation
from kzoo.losses._contrast_memory import ContrastMemory, choose, draw, mean_power
from tests.helpers import random_array


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def made(num_samples=8, size=6, momentum=0.75, seed=3):
    memory = ContrastMemory(num_samples, size, momentum, keras.random.SeedGenerator(seed))
    memory.build()
    return memory


def test_it_starts_as_published():
    memory = made(500, 12)
    teacher, student = numpy(memory.teacher_bank), numpy(memory.student_bank)
    bound = 1 / np.sqrt(12 / 3)
    for bank in (teacher, student):
        assert bank.shape == (500, 12)
        assert bound * 0.99 < np.abs(bank).max() <= bound
        assert abs(bank.mean()) < 0.02
    assert np.abs(teacher - student).max() > 0.1
    assert (numpy(memory.bank_labels) == -1).all()
    assert float(memory.teacher_normalizer) == float(memory.student_normalizer) == 0.0
    np.testing.assert_array_equal(numpy(made(500, 12).teacher_bank), teacher)
    assert not memory.trainable_variables


def test_a_sample_twice_in_a_batch_counts_by_its_first_place():
    memory = made()
    index, inside = np.array([4, 4, 5, 4], "int32"), np.ones(4, bool)
    before = numpy(memory.teacher_bank), numpy(memory.student_bank)
    classes = memory.classes(index, inside, np.array([1, 7, 2, 8], "int32"))
    np.testing.assert_array_equal(numpy(classes), [-1, -1, -1, -1, 1, 2, -1, -1])
    seen = unit(random_array(4, 6)), unit(random_array(4, 6, seed=1))
    teacher, student = (ops.convert_to_tensor(rows) for rows in seen)
    memory.update(index, inside, classes, (teacher, 5.0), (student, 6.0))
    for bank, old, new in zip(
        (memory.teacher_bank, memory.student_bank), before, seen, strict=True
    ):
        old[4], old[5] = unit(0.75 * old[4] + 0.25 * new[0]), unit(0.75 * old[5] + 0.25 * new[2])
        np.testing.assert_allclose(numpy(bank), old, rtol=1e-5, atol=1e-6)
    assert float(memory.teacher_normalizer) == 5.0
    assert float(memory.student_normalizer) == 6.0


def test_negatives_are_drawn_evenly_from_other_and_unknown_classes():
    known = np.array([2, -1, 0, 1, 0, 2, 2, -1, 1, 0], "int32")
    labels = np.array([0, 1, 2, 7], "int32")
    drawn = numpy(draw(ops.convert_to_tensor(known), labels, 4000, keras.random.SeedGenerator(0)))
    assert drawn.shape == (4, 4000)
    for row, label in zip(drawn, labels, strict=True):
        others = np.flatnonzero(known != label)
        counts = np.bincount(row, minlength=len(known))
        assert set(np.flatnonzero(counts)) == set(others)
        expected = 4000 / len(others)
        assert np.abs(counts[others] - expected).max() < 6 * np.sqrt(expected)


def test_drawing_from_one_class_alone_stays_in_range():
    drawn = numpy(
        draw(ops.zeros((4,), "int32"), np.zeros(2, "int32"), 9, keras.random.SeedGenerator(0))
    )
    assert drawn.min() >= 0
    assert drawn.max() < 4


@pytest.mark.parametrize(("count", "drawn"), [(None, False), (6, False), (99, False), (5, True)])
def test_fewer_samples_than_asked_for_all_serve(count, drawn):
    classes = np.array([0, -1, 1, 0, 2, 1], "int32")
    chosen, mask = choose(classes, np.array([0, 2], "int32"), count, keras.random.SeedGenerator(0))
    if drawn:
        assert mask is None
        assert chosen.shape == (2, 5)
        return
    assert chosen is None
    np.testing.assert_array_equal(numpy(mask)[0], classes != 0)
    np.testing.assert_array_equal(numpy(mask)[1], classes != 2)


def test_the_mean_power_is_over_what_counts():
    own, others = np.array([0.5, -0.5], "float32"), np.array([[1.0, 0.0], [0.3, 9.0]], "float32")
    mask = np.array([[True, True], [True, False]])
    expected = np.mean(np.exp(np.array([0.5, -0.5, 1.0, 0.0, 0.3]) / 0.5))
    assert float(mean_power(own, others, mask, 0.5)) == pytest.approx(expected, rel=1e-5)


def test_the_seed_of_the_loss_reproduces_memory_and_negatives():
    told = {"labels": np.array([0, 1]), "sample_index": np.array([3, 5])}
    sides = random_array(2, 4), random_array(2, 3, seed=1)
    values = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(0)
        loss = ContrastiveRepresentation(50, embedding_size=6, num_negatives=4, seed=seed)
        values.append([numpy(loss(*sides, **told)) for _ in range(2)])
    np.testing.assert_array_equal(values[0], values[1])
    assert np.abs(values[0][0] - values[2][0]).max() > 1e-3
    assert np.abs(values[0][0] - values[0][1]).max() > 1e-3
