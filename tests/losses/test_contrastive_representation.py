"""ContrastiveRepresentation: a step by hand, its memory, and which negatives are drawn."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses import ContrastiveRepresentation, contrastive_representation
from tests.helpers import random_array, value_and_gradients

TEACHER, STUDENT = random_array(4, 5), random_array(4, 3, seed=1)
LABELS, INDEX = np.array([0, 1, 2, 0], "int32"), np.array([4, 0, 5, 2], "int32")
TOLD = {"labels": LABELS, "sample_index": INDEX}


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def made(**changes):
    loss = ContrastiveRepresentation(
        **{"num_samples": 8, "embedding_size": 6, "temperature": 0.5, "seed": 3, **changes}
    )
    loss.build(TEACHER.shape, STUDENT.shape)
    return loss


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def embedded(loss):
    """Of teacher and student."""
    sides = (loss.teacher_embedding, TEACHER), (loss.student_embedding, STUDENT)
    return [unit(x @ numpy(dense.kernel) + numpy(dense.bias)) for dense, x in sides]


def state(loss):
    memory = loss.memory
    return [
        numpy(w)
        for w in (
            memory.teacher_bank,
            memory.student_bank,
            memory.bank_labels,
            memory.teacher_normalizer,
            memory.student_normalizer,
        )
    ]


def side(embedding, bank, classes, z, temperature=0.5):
    """The formula sample by sample with every sample of another class; and Z."""
    n, powers, values = len(bank), [], []
    others = [[j for j in range(n) if classes[j] != label] for label in LABELS]
    for v, i, js in zip(embedding, INDEX, others, strict=True):
        powers += [np.exp(v @ bank[j] / temperature) for j in (i, *js)]
    z = n * np.mean(powers) if z == 0 else z
    for v, i, js in zip(embedding, INDEX, others, strict=True):
        noise = len(js) / n
        h = np.exp(v @ bank[i] / temperature) / z
        total = -np.log(h / (h + noise))
        for j in js:
            h = np.exp(v @ bank[j] / temperature) / z
            total -= np.log(noise / (h + noise))
        values.append(total)
    return np.array(values), z


def test_what_is_trained_and_the_published_weight():
    loss = made()
    assert {tuple(w.shape) for w in loss.trainable_variables} == {(5, 6), (3, 6), (6,)}
    assert loss.weight == 0.8
    assert ContrastiveRepresentation(8, weight=2.0).weight == 2.0


def test_two_steps_equal_the_formula_with_all_other_classes():
    loss = made()
    for step in range(2):
        banks, normalizers = state(loss)[:2], state(loss)[3:]
        classes = state(loss)[2]
        assert (classes == -1).all() == (step == 0)
        classes[INDEX] = LABELS
        teacher, student = embedded(loss)
        of_teacher, teacher_z = side(teacher, banks[1], classes, normalizers[0])
        of_student, student_z = side(student, banks[0], classes, normalizers[1])
        found = numpy(loss(TEACHER, STUDENT, **TOLD, training=True))
        np.testing.assert_allclose(found, of_teacher + of_student, rtol=1e-4)
        expected = [bank.copy() for bank in banks]
        for bank, seen in zip(expected, (teacher, student), strict=True):
            bank[INDEX] = unit(0.5 * bank[INDEX] + 0.5 * seen)
        after = state(loss)
        np.testing.assert_allclose(after[0], expected[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(after[1], expected[1], rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(after[2], classes)
        np.testing.assert_allclose(after[3:], [teacher_z, student_z], rtol=1e-5)


def test_nothing_changes_without_training():
    loss = made()
    before = state(loss)
    first = numpy(loss(TEACHER, STUDENT, **TOLD))
    np.testing.assert_array_equal(numpy(loss(TEACHER, STUDENT, **TOLD, training=False)), first)
    for a, b in zip(before, state(loss), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("num_negatives", [None, 5])
def test_updating_the_memory_does_not_touch_the_gradient(num_negatives):
    """It comes after the value; torch would use the changed memory on its way back."""
    found, weights = [], None
    for training in (True, False):
        loss = made(num_negatives=num_negatives)
        loss.memory.teacher_normalizer.assign(9.0)
        loss.memory.student_normalizer.assign(7.0)
        weights = weights or loss.get_weights()
        loss.set_weights(weights)
        found.append(
            value_and_gradients(
                lambda t, s, loss=loss, mode=training: ops.sum(loss(t, s, **TOLD, training=mode)),
                loss.trainable_variables,
                [TEACHER, STUDENT],
            )
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        assert np.abs(a).max() > 1e-6
    by_teacher, by_student = found[0][2]
    assert by_teacher is None or not by_teacher.any()
    np.testing.assert_allclose(by_student, found[1][2][1], rtol=1e-5, atol=1e-7)


def test_drawn_negatives_have_the_expected_loss():
    """With k of n − 1 drawn the mean of many draws tends to the sum by its definition."""
    loss, k = made(num_negatives=7), 7
    loss.memory.teacher_normalizer.assign(9.0)
    loss.memory.student_normalizer.assign(7.0)
    classes = np.arange(8, dtype="int32") + 10
    loss.memory.bank_labels.assign(classes)
    classes[INDEX] = LABELS
    teacher_bank, student_bank = state(loss)[:2]
    expected = 0.0
    for v, bank, z in zip(embedded(loss), (student_bank, teacher_bank), (9.0, 7.0), strict=True):
        for b, label in enumerate(LABELS):
            h = np.exp(v[b] @ bank.T / 0.5) / z
            rejected = -np.log((k / 8) / (h + k / 8))
            own = h[INDEX[b]]
            expected += -np.log(own / (own + k / 8)) + k * rejected[classes != label].mean()
    draws = [numpy(loss(TEACHER, STUDENT, **TOLD)).sum() for _ in range(60)]
    assert np.std(draws) > 1e-3
    assert abs(np.mean(draws) - expected) < 6 * np.std(draws) / np.sqrt(60)


def test_an_index_outside_of_the_data_is_not_a_number_and_is_not_remembered():
    loss = made()
    before = state(loss)
    index = np.array([-1, 0, 8, 2], "int64")[:, None]
    found = numpy(loss(TEACHER, STUDENT, labels=LABELS, sample_index=index, training=True))
    np.testing.assert_array_equal(np.isnan(found), [True, False, True, False])
    np.testing.assert_array_equal(state(loss)[0][7], before[0][7])
    assert state(loss)[2][7] == -1
    assert not np.isnan(state(loss)[0]).any()


def test_masked_negatives_do_not_count():
    teacher, student = (unit(random_array(4, 3, seed=n)) for n in range(2))
    negatives = np.clip(random_array(4, 6, seed=3), -1, 1)
    mask = random_array(4, 6, seed=4) > 0
    found = numpy(contrastive_representation(teacher, student, negatives, 9, mask=mask))
    for row in range(4):
        kept = negatives[row : row + 1, mask[row]]
        one = slice(row, row + 1)
        alone = contrastive_representation(teacher[one], student[one], kept, 9)
        np.testing.assert_allclose(found[row], numpy(alone)[0], rtol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("num_negatives", [None, 5])
def test_a_graph_without_a_known_batch(num_negatives):
    import tensorflow as tf

    eager, graph = made(num_negatives=num_negatives), made(num_negatives=num_negatives)
    graph.set_weights(eager.get_weights())
    vector = tf.TensorSpec((None,), tf.int32)
    spec = [tf.TensorSpec((None, 5)), tf.TensorSpec((None, 3)), vector, vector]
    traced = tf.function(lambda *told: graph(*told, training=True), input_signature=spec)
    for _ in range(2):
        found = traced(TEACHER, STUDENT, LABELS, INDEX)
        expected = eager(TEACHER, STUDENT, LABELS, INDEX, training=True)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    for a, b in zip(state(eager), state(graph), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="needs the JAX backend")
def test_a_stateless_call_returns_the_memory():
    import jax

    loss, eager = made(num_negatives=5), made(num_negatives=5)
    eager.set_weights(loss.get_weights())
    call = jax.jit(lambda *told: loss.stateless_call(*told, **TOLD, training=True))
    trained, fixed = (
        [v.value for v in vs] for vs in (loss.trainable_variables, loss.non_trainable_variables)
    )
    value, fixed = call(trained, fixed, TEACHER, STUDENT)
    expected = eager(TEACHER, STUDENT, **TOLD, training=True)
    np.testing.assert_allclose(numpy(value), numpy(expected), rtol=1e-4)
    for a, variable in zip(fixed, eager.non_trainable_variables, strict=True):
        np.testing.assert_allclose(numpy(a), numpy(variable), rtol=1e-4, atol=1e-6)
    assert (state(loss)[2] == -1).all()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"labels": LABELS}, "needs `sample_index`, an integer for each sample"),
        ({"sample_index": INDEX}, "needs `labels`, an integer for each sample"),
        ({"labels": LABELS[:2], "sample_index": INDEX}, r"`labels` as integers of shape \(4,\)"),
        ({"labels": LABELS, "sample_index": INDEX / 1.0}, "`sample_index` as integers"),
    ],
)
def test_missing_or_bad_labels_and_indices(told, message):
    with pytest.raises(ValueError, match=message):
        made()(TEACHER, STUDENT, **told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 1}, "`num_samples` must be an integer >= 2"),
        ({"num_samples": 8, "embedding_size": 0}, "`embedding_size` must be"),
        ({"num_samples": 8, "num_negatives": 0}, "`num_negatives` must be an integer >= 1"),
        ({"num_samples": 8, "temperature": 0.01}, r"`temperature` must be .* >= 0.02"),
        ({"num_samples": 8, "momentum": 1.1}, r"`momentum` must be .* <= 1"),
        ({"num_samples": 8, "teacher_tap": ["a"], "student_tap": ["b"]}, "per pair"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveRepresentation(**arguments)


def test_bad_shapes():
    with pytest.raises(ValueError, match="fixed input size"):
        ContrastiveRepresentation(8).build((None, None, 4), (None, 4))
    with pytest.raises(ValueError, match=r"negatives \(4,\)"):
        contrastive_representation(TEACHER, TEACHER, np.zeros(4), 8)
    with pytest.raises(ValueError, match=r"negatives \(1, 2\)"):
        contrastive_representation(TEACHER, TEACHER, np.zeros((1, 2)), 8)
    with pytest.raises(ValueError, match=r"student \(4, 3\)"):
        contrastive_representation(TEACHER, STUDENT, np.zeros((4, 2)), 8)
