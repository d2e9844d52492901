"""Distillation before a discriminator, against steps and losses computed in NumPy."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import registry, taps, testing
from kzoo.losses import SoftTargets
from kzoo.testing.small_models import small_classifier
from kzoo.trainers import (
    AdversarialDistillation,
    Distiller,
    PlayerOptimizers,
    Teacher,
    TeacherEnsemble,
    _label_game,
    cache_teacher,
)
from kzoo.trainers._judges import SpectralDense, vector_judge
from tests.helpers import random_array, value_and_gradients
from tests.trainers.models import classifier, equal, images, values
from tests.trainers.recorded import model

X = np.array([[1.0], [2.0], [-1.0], [0.5]], "float32")
Y = np.array([0, 2, 1, 0])
ONE_HOT = np.eye(3)[Y]
STUDENT = np.array([[0.3, -0.2, 0.1]])
TEACHER = np.array([[-0.9, 0.5, 1.2]])
NOISE = random_array(4, 3, seed=5)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
MODES = ("logits", "feature", "kdgan")
WITH_BATTERY = (
    "right_variables_move",
    "updates_move_their_own",
    "statistics_once",
    "terms_sum_to_loss",
    "evaluate_changes_nothing",
)
SLOW = ("save_and_resume", "eager_equals_graph")
FIRST, LAST = slice(None, 10), slice(-10, None)


def eager():
    return keras.backend.backend() == "tensorflow"


def fixed(kernel, name, bias=None):
    """A linear model with these weights."""
    kernel = np.array(kernel, "float32")
    layer = keras.layers.Dense(kernel.shape[1], use_bias=bias is not None, name="logits")
    model = keras.Sequential([keras.Input(kernel.shape[:1]), layer], name=name)
    model.set_weights([kernel] if bias is None else [kernel, np.array(bias, "float32")])
    return model


def lines(rates, mode="logits", discriminator=None, **options):
    """Student and teacher whose logits are one weight for each class times x."""
    student, teacher = fixed(STUDENT, "student"), fixed(TEACHER, "teacher")
    trainer = AdversarialDistillation(student, teacher, mode, discriminator, **options)
    rates = {**dict.fromkeys(trainer.players(), 0.0), **rates}
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    trainer.compile(PlayerOptimizers(optimizers), LOSS, run_eagerly=eager())
    return trainer


def step(trainer, steps=1, x=X, y=Y):
    options = {"batch_size": len(x), "epochs": steps, "shuffle": False, "verbose": 0}
    return trainer.fit(x, y, **options).history


def dense(units, name, classes=3, dropout=0.0):
    """A small classifier of vectors."""
    inputs = keras.Input((6,))
    x = keras.layers.Dense(units, "relu", name="hidden")(inputs)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(classes, "softmax", name="logits")(x)
    return keras.Model(inputs, x, name=name)


def blobs(count=12):
    """Samples around three centres, and which one."""
    labels = np.arange(count) % 3
    return random_array(3, 6)[labels] + 0.5 * random_array(count, 6, seed=1), labels


def vectors(mode="logits", seed=0, teacher=None, **options):
    """On small vectors."""
    keras.utils.set_random_seed(seed)
    teacher = teacher or dense(8, "teacher")
    compiled = {"optimizer": options.pop("optimizer", "adam")}
    trainer = AdversarialDistillation(dense(4, "student"), teacher, mode, seed=7, **options)
    trainer.compile(**compiled, loss="sparse_categorical_crossentropy", run_eagerly=eager())
    return trainer


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def softplus(z):
    return np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0.0)


def of_class(logits, labels):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


JUDGE = (random_array(3, 4, seed=1).astype("float64"), np.array([0.1, -0.2, 0.3, 0.05]))
OPTIONS = {
    "task_weight": 0.9,
    "distillation_weight": 0.7,
    "adversarial_weight": 1.3,
    "label_weight": 0.4,
}


def by_hand(steps, rates, weights):
    """Steps of both players with a linear discriminator in float64: weights and terms."""
    x = X.astype("float64")
    student, teacher = STUDENT.copy(), x @ TEACHER
    kernel, bias = (part.copy() for part in JUDGE)
    logs = []
    for _ in range(steps):
        own = x @ student
        real, fake = teacher @ kernel + bias, own @ kernel + bias
        terms = {
            "discriminator_real": softplus(-real[:, 0]),
            "discriminator_fake": softplus(fake[:, 0]),
            "discriminator_class": of_class(real[:, 1:], Y) + of_class(fake[:, 1:], Y),
        }
        by_real = np.c_[-sigmoid(-real[:, :1]), softmax(real[:, 1:]) - ONE_HOT] / 4
        by_fake = np.c_[sigmoid(fake[:, :1]), softmax(fake[:, 1:]) - ONE_HOT] / 4
        kernel = kernel - rates[1] * (teacher.T @ by_real + own.T @ by_fake)
        bias = bias - rates[1] * (by_real + by_fake).sum(0)
        judged = own @ kernel + bias  # by what the discriminator knows now
        terms |= {
            "student_task_loss": weights["task_weight"] * of_class(own, Y),
            "student_distillation": weights["distillation_weight"] * np.abs(teacher - own).sum(-1),
            "student_adversarial": weights["adversarial_weight"] * softplus(-judged[:, 0]),
            "student_class": weights["label_weight"] * of_class(judged[:, 1:], Y),
        }
        by_own = weights["task_weight"] * (softmax(own) - ONE_HOT)
        by_own += weights["distillation_weight"] * np.sign(own - teacher)
        by_own -= weights["adversarial_weight"] * sigmoid(-judged[:, :1]) * kernel[:, 0]
        by_judged = softmax(judged[:, 1:]) - ONE_HOT
        by_own += weights["label_weight"] * by_judged @ kernel[:, 1:].T
        student = student - rates[0] * x.T @ by_own / 4
        logs.append({name: np.mean(value) for name, value in terms.items()})
    return student, kernel, bias, logs


@pytest.mark.parametrize("rates", [(0.05, 0.2), (0.05, 0.0), (0.0, 0.2)])
def test_three_steps_against_numpy(rates):
    players = dict(zip(("student", "discriminator"), rates, strict=True))
    trainer = lines(players, discriminator=fixed(JUDGE[0], "judge", JUDGE[1]), **OPTIONS)
    history = step(trainer, 3)
    student, kernel, bias, logs = by_hand(3, rates, OPTIONS)
    found = values(trainer.discriminator.weights)
    for one, other in zip(
        (*values(trainer.student.weights), *found), (student, kernel, bias), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    for number, terms in enumerate(logs):
        for name, value in terms.items():
            np.testing.assert_allclose(history[name][number], value, rtol=1e-4)
        np.testing.assert_allclose(history["loss"][number], sum(terms.values()), rtol=1e-4)
    assert set(trainer.term_names) == set(logs[0])
    assert equal(values(trainer.teacher.weights), [TEACHER.astype("float32")])


def test_terms_of_features_against_numpy():
    judge = fixed(random_array(8, 4, seed=1, scale=0.3), "judge", JUDGE[1])
    rates = dict.fromkeys(("student", "discriminator"), 0.0)
    optimizers = PlayerOptimizers({name: keras.optimizers.SGD(r) for name, r in rates.items()})
    trainer = AdversarialDistillation(
        classifier("student", statistics=False),
        classifier("teacher", 4, statistics=False),
        "feature",
        judge,
        **{**OPTIONS, "tap": "stage2"},
    )
    trainer.compile(optimizers, "sparse_categorical_crossentropy", run_eagerly=eager())
    x, y = images(6)
    history = step(trainer, x=x, y=y)
    maps = [taps.extractor(m, ["stage2"])(x)["stage2"] for m in (trainer.teacher, trainer.student)]
    real, own = (np.asarray(values([m])[0], "float64").mean((1, 2)) for m in maps)
    own = own @ values([trainer.adapter.kernel])[0] + values([trainer.adapter.bias])[0]
    assert real.shape == own.shape == (6, 8)
    kernel, bias = values(judge.weights)
    judged_real, judged = real @ kernel + bias, own @ kernel + bias
    expected = {
        "discriminator_real": softplus(-judged_real[:, 0]),
        "discriminator_fake": softplus(judged[:, 0]),
        "discriminator_class": of_class(judged_real[:, 1:], y) + of_class(judged[:, 1:], y),
        "student_distillation": 0.7 * np.abs(real - own).sum(-1),
        "student_adversarial": 1.3 * softplus(-judged[:, 0]),
        "student_class": 0.4 * of_class(judged[:, 1:], y),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(history[name][0], np.mean(value), rtol=1e-4)
    right = (np.mean(judged_real[:, 0] > 0) + np.mean(judged[:, 0] <= 0)) / 2
    np.testing.assert_allclose(history["discriminator_accuracy"][0], right, rtol=1e-5)


SCORES = random_array(1, 3, seed=3).astype("float64")
LABEL_OPTIONS = {
    "task_weight": 0.9,
    "distillation_weight": 0.8,
    "adversarial_weight": 0.6,
    "teacher_distillation_weight": 0.2,
    "temperature": 2.0,
    "gumbel_temperature": 0.7,
}


def label_losses(variant, own, other, scores, distillation_weight):
    """What student or teacher minimise, from logits: values and gradient by their own logits."""
    soft, taught = softmax(own / 2.0), softmax(other / 2.0)
    distillation = 4.0 * np.sum(taught * np.log(taught / soft), -1)
    gradient = 0.9 * (softmax(own) - ONE_HOT)
    gradient += distillation_weight * 2.0 * (soft - taught)
    if variant == "paper":
        label = softmax((np.log(softmax(own)) + NOISE) / 0.7)
        score = np.sum(scores * label, -1, keepdims=True)
        adversarial = softplus(-score[:, 0])
        by_label = -sigmoid(-score) * scores
        by_sum = label * (by_label - np.sum(label * by_label, -1, keepdims=True)) / 0.7
        gradient += 0.6 * (by_sum - softmax(own) * by_sum.sum(-1, keepdims=True))
    else:
        label = np.eye(3)[np.argmax(own + NOISE, -1)]
        drawn = np.sum(label * own, -1)
        reward = sigmoid(np.sum(label * scores, -1))
        adversarial = -(reward * np.log(sigmoid(drawn)) + (1 - reward) * np.log(1 - sigmoid(drawn)))
        gradient += 0.6 * label * (sigmoid(drawn) - reward)[:, None]
    terms = {
        "task_loss": 0.9 * of_class(own, Y),
        "distillation": distillation_weight * distillation,
        "adversarial": 0.6 * adversarial,
    }
    return terms, label, gradient


def silent(monkeypatch):
    """The same noise in each draw."""
    noise = ops.convert_to_tensor(NOISE)
    monkeypatch.setattr(_label_game, "gumbel", lambda shape, seed: noise)


@pytest.mark.parametrize("variant", ["paper", "reference"])
@pytest.mark.parametrize("player", ["student", "teacher", "discriminator"])
def test_a_step_of_kdgan_against_numpy(monkeypatch, variant, player):
    silent(monkeypatch)
    trainer = lines(
        {player: 0.1}, "kdgan", fixed(SCORES, "judge"), variant=variant, **LABEL_OPTIONS
    )
    history, x = step(trainer), X.astype("float64")
    logits = {"student": x @ STUDENT, "teacher": x @ TEACHER}
    terms, moved = {}, {"student": STUDENT, "teacher": TEACHER, "discriminator": SCORES}
    kernel, labels, gradients = SCORES, {}, {}
    for name, other, weight in (("student", "teacher", 0.8), ("teacher", "student", 0.2)):
        labels[name] = label_losses(variant, logits[name], logits[other], x @ SCORES, weight)[1]
    d = x @ SCORES
    scores = {name: np.sum(d * label, -1) for name, label in labels.items()}
    true = np.sum(d * ONE_HOT, -1)
    terms["discriminator_true"] = softplus(-true)
    gradients["discriminator"] = -sigmoid(-true)[:, None] * ONE_HOT
    right = 0.5 * (true > 0)
    for name, score in scores.items():
        terms[f"discriminator_{name}"] = 0.5 * softplus(score)
        gradients["discriminator"] += 0.5 * sigmoid(score)[:, None] * labels[name]
        right = right + 0.25 * (score <= 0)
    if player == "discriminator":
        kernel = SCORES - 0.1 * x.T @ gradients["discriminator"] / 4
    if player == "teacher":
        found = label_losses(variant, logits["teacher"], logits["student"], x @ kernel, 0.2)
        moved["teacher"] = TEACHER - 0.1 * x.T @ found[2] / 4
    for name, other, weight in (("teacher", "student", 0.2), ("student", "teacher", 0.8)):
        there = x @ moved["teacher"] if other == "teacher" else logits[other]
        found = label_losses(variant, logits[name], there, x @ kernel, weight)
        terms |= {f"{name}_{term}": value for term, value in found[0].items()}
        gradients[name] = found[2]
    moved[player] = (
        moved[player]
        if player == "teacher"
        else ((STUDENT if player == "student" else SCORES) - 0.1 * x.T @ gradients[player] / 4)
    )
    models = {
        "student": trainer.student,
        "teacher": trainer.teacher,
        "discriminator": trainer.discriminator,
    }
    for name, moving in models.items():
        np.testing.assert_allclose(values(moving.weights)[0], moved[name], rtol=1e-4, atol=1e-6)
    for name, value in terms.items():
        np.testing.assert_allclose(history[name][0], np.mean(value), rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(history["discriminator_accuracy"][0], right.mean(), rtol=1e-5)
    assert set(trainer.term_names) == set(terms)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_a_discriminator_that_cannot_tell(monkeypatch, variant):
    """D = 1/2: no gradient through a relaxed label; by the authors' code sigma(z) - 1/2."""
    silent(monkeypatch)
    weights = dict.fromkeys(("task_weight", "distillation_weight"), 0.0)
    undecided = fixed(np.zeros((1, 3)), "judge")
    trainer = lines(
        {"student": 0.1}, "kdgan", undecided, variant=variant, adversarial_weight=1.0, **weights
    )
    history = step(trainer)
    logits = X @ STUDENT
    expected = np.zeros((4, 3))
    if variant == "reference":
        drawn = np.argmax(logits + NOISE, -1)
        rows = np.arange(4)
        expected[rows, drawn] = sigmoid(logits[rows, drawn]) - 0.5
        assert np.abs(expected).max() > 0.01
    else:
        np.testing.assert_allclose(history["student_adversarial"][0], np.log(2.0), rtol=1e-6)
    found = values(trainer.student.weights)[0]
    np.testing.assert_allclose(found, STUDENT - 0.1 * X.T @ expected / 4, rtol=1e-6, atol=1e-7)
    assert history["discriminator_accuracy"][0] == 0.5


def test_kdgan_without_its_adversarial_terms_is_soft_targets():
    x, y = images(8)

    def models():
        keras.utils.set_random_seed(3)
        return classifier("student"), classifier("teacher", 4, dropout=0.2, statistics=False)

    student, teacher = models()
    plain = Distiller(student, teacher, SoftTargets(3.0, weight=0.7), task_weight=0.4)
    plain.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=eager())
    step(plain, 2, x, y)
    other, teacher = models()
    before = values(other.weights)
    trainer = AdversarialDistillation(
        other,
        teacher,
        "kdgan",
        adversarial_weight=0.0,
        distillation_weight=0.7,
        task_weight=0.4,
    )
    rates = {"student": 0.1, "teacher": 0.0, "discriminator": 0.1}
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    loss = "sparse_categorical_crossentropy"
    trainer.compile(PlayerOptimizers(optimizers), loss, run_eagerly=eager())
    names = step(trainer, 2, x, y)
    assert "student_adversarial" not in names
    pairs = zip(values(other.weights), values(student.weights), strict=True)
    for one, same in pairs:
        np.testing.assert_allclose(one, same, rtol=1e-4, atol=1e-6)
    assert not equal(before, values(other.weights))


def test_without_its_discriminator_the_first_mode_is_the_distance_of_logits():
    trainer = lines({"student": 0.1}, adversarial_weight=0.0, label_weight=0.0)
    history = step(trainer)
    gradient = softmax(X @ STUDENT) - ONE_HOT + np.sign(X @ (STUDENT - TEACHER))
    expected = STUDENT - 0.1 * X.T @ gradient / 4
    np.testing.assert_allclose(values(trainer.student.weights)[0], expected, rtol=1e-5)
    assert not {"student_adversarial", "student_class"} & set(history)


@pytest.mark.parametrize("mode", MODES)
def test_each_player_moves_its_own_variables_only(mode):
    trainer = vectors(mode)
    players = trainer.players()
    assert list(players) == ["student", *(["teacher"] if mode == "kdgan" else []), "discriminator"]
    for mover in players:
        optimizers = {n: keras.optimizers.SGD(0.1 if n == mover else 0.0) for n in players}
        loss = "sparse_categorical_crossentropy"
        trainer.compile(PlayerOptimizers(optimizers), loss, run_eagerly=eager())
        before = {name: values(group) for name, group in trainer.players().items()}
        step(trainer, 1, *blobs())
        for name, group in trainer.players().items():
            same = equal(before[name], values(group))
            assert same == (name != mover), f"{mover} moves {name}"


def battery(mode, names):
    """The battery's checks in another mode than the registered one."""

    def build(small):
        # The teacher of KDGAN learns, so it must not be one of the battery's frozen ones.
        teacher = small_classifier("tutor") if mode == "kdgan" else small("teacher")
        return AdversarialDistillation(small("student"), teacher, mode, seed=3)

    entry = registry.get("trainer", "AdversarialDistillation")
    players = ("student", "discriminator", *(["teacher"] if mode == "kdgan" else []))
    entry = dataclasses.replace(entry, tiny={"build": build}, facts={"players": players})
    for result in testing.run(entry, names):
        assert result.ok or result.status == "skipped", (result.check, result.message)


@pytest.mark.parametrize("mode", [pytest.param("feature", marks=pytest.mark.slow), "kdgan"])
def test_the_battery_in_the_other_modes(mode):
    battery(mode, WITH_BATTERY)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["feature", "kdgan"])
def test_the_slow_part_of_the_battery_in_the_other_modes(mode):
    battery(mode, SLOW)


@pytest.mark.parametrize(
    "mode", ["logits", pytest.param("feature", marks=pytest.mark.slow), "kdgan"]
)
def test_forty_steps_on_few_samples_are_stable(mode):
    x, y = blobs()
    teacher = dense(16, "teacher", dropout=0.2)
    loss = "sparse_categorical_crossentropy"
    teacher.compile(keras.optimizers.Adam(0.02), loss)
    teacher.fit(x, y, batch_size=12, epochs=30, verbose=0)
    trainer = AdversarialDistillation(dense(4, "student", dropout=0.2), teacher, mode, seed=1)
    rates = {"student": 0.01, "teacher": 0.002, "discriminator": 0.0005}
    optimizers = {name: keras.optimizers.Adam(rates[name]) for name in trainer.players()}
    trainer.compile(PlayerOptimizers(optimizers), loss)
    history = step(trainer, 40, x, y)
    assert all(np.all(np.isfinite(found)) for found in history.values())
    first, last = (np.mean(history["student_task_loss"][part]) for part in (FIRST, LAST))
    assert last < 0.8 * first
    assert max(history["student_adversarial"]) < 2.0
    assert np.mean(history["discriminator_accuracy"][LAST]) < 0.95


@pytest.mark.parametrize(
    ("mode", "expected"), [("logits", (1.0, 1.0)), ("feature", (0.0, 0.1)), ("kdgan", (1.0, 0.5))]
)
def test_default_weights(mode, expected):
    trainer = AdversarialDistillation(dense(4, "student"), dense(8, "teacher"), mode)
    assert (trainer.distillation_weight, trainer.adversarial_weight) == expected
    assert (trainer.task_weight, trainer.label_weight) == (1.0, 1.0)


def test_accuracy_of_the_discriminator():
    sure = fixed(np.zeros((3, 1)), "judge", [5.0])
    logs = step(lines({}, discriminator=sure))
    assert logs["discriminator_accuracy"] == [0.5]
    # The first logit is positive for the teacher's vector and negative for the student's.
    x = np.ones((4, 1), "float32")
    sharp = fixed(np.array([[-10.0], [0.0], [1.0]]), "judge", [0.0])
    logs = step(lines({}, discriminator=sharp), x=x)
    assert logs["discriminator_accuracy"] == [1.0]
    assert "discriminator_class" not in logs


def test_accuracy_of_the_teacher_and_agreement():
    logs = step(lines({}))
    taught, own = np.argmax(X @ TEACHER, -1), np.argmax(X @ STUDENT, -1)
    assert logs["teacher_accuracy"][0] == pytest.approx(np.mean(taught == Y))
    assert logs["agreement"][0] == pytest.approx(np.mean(taught == own))


def test_training_without_labels():
    models = fixed(STUDENT, "student"), fixed(TEACHER, "teacher")
    trainer = AdversarialDistillation(*models)
    trainer.compile("sgd", run_eagerly=eager())
    trainer.fit(X, batch_size=4, verbose=0)
    assert set(trainer.term_names) == {
        "discriminator_real",
        "discriminator_fake",
        "student_distillation",
        "student_adversarial",
    }
    trainer = AdversarialDistillation(*models, "kdgan")
    trainer.compile("sgd", run_eagerly=eager())
    with pytest.raises(ValueError, match=r"one-hot rows of 3 classes as y"):
        trainer.fit(X, batch_size=4, verbose=0)


def test_spectral_layer_has_norm_one_whatever_its_kernel():
    keras.utils.set_random_seed(0)
    layer = SpectralDense(5)
    layer.build((None, 7))
    layer.kernel.assign(30.0 * random_array(7, 5))
    before = values(layer.weights)
    layer(np.ones((2, 7), "float32"), training=False)
    assert equal(before, values(layer.weights))
    for _ in range(20):
        layer(np.ones((2, 7), "float32"), training=True)
    assert equal(before[:2], values(layer.weights)[:2])  # kernel and bias stay
    kernel = values([layer(np.eye(7, dtype="float32"), training=False)])[0]
    exact = before[0] / np.linalg.norm(before[0].astype("float64"), 2)
    np.testing.assert_allclose(kernel, exact, rtol=1e-4, atol=1e-6)


def test_gradient_of_the_spectral_layer_goes_through_the_norm():
    keras.utils.set_random_seed(0)
    layer, x = SpectralDense(3), random_array(6, 4, seed=2)
    layer.build((None, 4))
    for _ in range(50):
        layer(x, training=True)
    kernel = np.asarray(values([layer.kernel])[0], "float64")

    def loss(kernel):
        return np.sum(np.square(x.astype("float64") @ (kernel / np.linalg.norm(kernel, 2))))

    numeric = np.zeros_like(kernel)
    for place in np.ndindex(kernel.shape):
        shift = np.zeros_like(kernel)
        shift[place] = 1e-5
        numeric[place] = (loss(kernel + shift) - loss(kernel - shift)) / 2e-5

    def of_layer():
        return ops.sum(ops.square(layer(ops.convert_to_tensor(x), training=False)))

    _, (found,), _ = value_and_gradients(of_layer, [layer.kernel])
    np.testing.assert_allclose(found, numeric, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("spectral", [True, False])
def test_lipschitz_constant_of_the_discriminator_of_features(spectral):
    keras.utils.set_random_seed(0)
    judge = vector_judge(8, 3, spectral)
    for layer in judge.layers:
        if layer.weights:
            layer.kernel.assign(layer.kernel * 20.0)
    first, second = random_array(200, 8, seed=1), random_array(200, 8, seed=2)
    for _ in range(20):
        judge(first, training=True)
    one, other = values([judge(first), judge(second)])
    steepest = np.max(
        np.linalg.norm(one - other, axis=-1) / np.linalg.norm(first - second, axis=-1)
    )
    assert (steepest <= 1.001) == spectral
    assert steepest > 1e-3


@pytest.mark.parametrize("mode", ["feature", "kdgan"])
def test_the_same_seed_gives_the_same_game(mode):
    first, second = (step(vectors(mode), 2, *blobs()) for _ in range(2))
    assert first == second


def test_another_seed_draws_other_labels():
    logs = []
    for seed in (1, 1, 2):
        trainer = lines({}, "kdgan", fixed(SCORES, "judge"), seed=seed)
        logs.append(step(trainer, 2)["student_adversarial"])
    assert logs[0] == logs[1]
    assert logs[0][0] != logs[0][1]
    assert logs[0] != logs[2]


def test_draws_follow_the_softmax():
    logits = np.log(np.array([0.5, 0.3, 0.2], "float32")) + 4.0
    seed = keras.random.SeedGenerator(3)
    noise = values([_label_game.gumbel((20000, 3), seed)])[0]
    assert np.all(np.isfinite(noise))
    drawn = np.bincount(np.argmax(logits + noise, -1), minlength=3) / 20000
    np.testing.assert_allclose(drawn, [0.5, 0.3, 0.2], atol=0.02)
    label = values(
        [_label_game.relaxed(ops.convert_to_tensor(logits[None] + 0 * noise), noise, 0.05)]
    )[0]
    assert np.mean(label.max(-1) > 0.9) > 0.8
    np.testing.assert_allclose(label.sum(-1), 1.0, rtol=1e-5)
    assert np.array_equal(np.argmax(label, -1), np.argmax(logits + noise, -1))


def test_kdgan_trains_a_copy_of_the_teacher():
    teacher = dense(8, "teacher")
    teacher.trainable = False
    before = values(teacher.weights)
    trainer = vectors("kdgan", teacher=teacher)
    assert equal(before, values(trainer.teacher.weights))
    step(trainer, 1, *blobs())
    assert equal(before, values(teacher.weights))
    assert not teacher.trainable_variables
    assert len(trainer.teacher.trainable_variables) == 4
    assert not equal(before, values(trainer.teacher.weights))
    teacher.get_layer("logits").trainable = teacher.trainable = True
    teacher.get_layer("hidden").trainable = False
    trainer = vectors("kdgan", teacher=teacher)
    assert len(trainer.teacher.trainable_variables) == 2
    assert len(trainer.discriminator.trainable_variables) == 4


def test_teachers_of_other_kinds_teach():
    five = dense(8, "teacher", classes=5)
    mapped = Teacher(five, classes=[4, 0, 2])
    ensemble = TeacherEnsemble([dense(8, "one"), dense(7, "two")])
    for teacher in (mapped, ensemble, [dense(8, "teacher")]):
        assert np.isfinite(step(vectors(teacher=teacher), 1, *blobs())["loss"][0])
    logs = step(vectors("feature", teacher=five), 1, *blobs())
    assert "teacher_accuracy" not in logs
    assert "student_class" in logs


def test_recorded_logits_teach_as_the_teacher_does(digits, teacher, tmp_path):
    cache = cache_teacher(teacher, digits, ["logits"], tmp_path, dtype="float32", verbose=0)
    logs = []
    for source in (teacher, cache):
        keras.utils.set_random_seed(0)
        trainer = AdversarialDistillation(model("student"), source)
        trainer.compile("sgd", LOSS, run_eagerly=eager())
        attached = {"attach": cache} if source is cache else {}
        batches = digits.sequence("train", 16, **attached)
        logs.append(trainer.fit(batches, shuffle=False, verbose=0).history)
    assert logs[0].keys() == logs[1].keys()
    for name, found in logs[0].items():
        np.testing.assert_allclose(logs[1][name], found, rtol=1e-3, atol=1e-5, err_msg=name)


SAVED = {
    "logits": {"adversarial_weight": keras.optimizers.schedules.ExponentialDecay(1.0, 4, 0.5)},
    "feature": {"distillation_weight": 0.3},
    "kdgan": {"gumbel_temperature": 0.4},
    "reference": {"mode": "kdgan", "variant": "reference"},
}


@pytest.mark.parametrize("name", list(SAVED))
def test_a_trainer_from_the_file_goes_on_with_the_same_draws(tmp_path, name):
    ensemble = TeacherEnsemble([dense(8, "one"), dense(7, "two")])
    teacher = ensemble if name == "logits" else dense(8, "teacher")
    trainer = vectors(**{"mode": name, **SAVED[name]}, teacher=teacher)
    step(trainer, 2, *blobs())
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    models = ("student", "teacher", "discriminator")
    kept, given = (
        {k: v for k, v in t.get_config().items() if k not in models} for t in (loaded, trainer)
    )
    assert kept == given
    first, second = (step(each, 2, *blobs()) for each in (trainer, loaded))
    assert first.keys() == second.keys()
    for log, found in first.items():
        np.testing.assert_allclose(second[log], found, rtol=1e-4, atol=1e-6, err_msg=log)


def test_frozen_teachers_are_saved_with_the_trainer():
    ensemble = TeacherEnsemble([dense(8, "one"), dense(7, "two")])
    assert [model.name for model in vectors(teacher=ensemble).teacher_models] == ["one", "two"]
    assert vectors("kdgan").teacher_models == []


@pytest.mark.parametrize("order", [("student", "discriminator"), ("discriminator", "student")])
def test_schedules_do_not_depend_on_the_order_of_the_optimizers(order):
    switched_off = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.0])
    keras.utils.set_random_seed(0)
    trainer = AdversarialDistillation(
        dense(2, "student"), dense(4, "teacher"), adversarial_weight=switched_off
    )
    optimizers = PlayerOptimizers({name: keras.optimizers.SGD(0.1) for name in order})
    trainer.compile(optimizers, "sparse_categorical_crossentropy", run_eagerly=eager())
    x, y = blobs()
    logs = trainer.fit(x, y, batch_size=len(x), epochs=2, verbose=0).history
    first, second = logs["student_adversarial"]
    assert first > 0.0
    assert second == 0.0


def test_scheduled_temperature_of_the_relaxation():
    decay = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1e4, 0.01])
    trainer = lines({}, "kdgan", fixed(SCORES, "judge"), gumbel_temperature=decay, seed=0)
    found = step(trainer, 3)["student_adversarial"]
    # At a high temperature labels are uniform; later they are nearly one class.
    uniform = 0.5 * np.mean(softplus(-np.mean(X @ SCORES, -1)))
    np.testing.assert_allclose(found[0], uniform, rtol=1e-3)
    assert abs(found[-1] - uniform) > 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_models_that_are_not_built_are_built_by_fit(mode):
    def network(units, name):
        layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
        return keras.Sequential(layers, name=name)

    trainer = AdversarialDistillation(network(4, "student"), network(6, "teacher"), mode)
    trainer.compile("sgd", LOSS, run_eagerly=eager())
    assert np.isfinite(step(trainer)["loss"][0])
    assert trainer.predict(X, verbose=0).shape == (4, 3)


def test_what_comes_out_is_the_student_alone():
    student = classifier("student")
    names = [v.path for v in student.variables]
    trainer = AdversarialDistillation(student, classifier("teacher", 4), "feature")
    assert trainer.student is student
    assert [v.path for v in student.variables] == names
    assert trainer.adapter.kernel.shape == (4, 8)
    moved = trainer.players()["student"]
    assert any(v is trainer.adapter.kernel for v in moved)
    same = AdversarialDistillation(classifier("student"), classifier("teacher"), "feature")
    assert same.adapter is None


def test_one_optimizer_is_copied_for_each_player():
    trainer = vectors("kdgan", optimizer=keras.optimizers.Adam(3e-3))
    step(trainer, 1, *blobs())
    optimizers = [trainer.optimizer[name] for name in trainer.players()]
    assert len({id(optimizer) for optimizer in optimizers}) == 3
    assert [int(optimizer.iterations) for optimizer in optimizers] == [1, 1, 1]


def test_a_teacher_at_chance_is_reported():
    x, y = blobs(60)
    trainer = vectors()
    bias = np.array([50.0, 0.0, 0.0], "float32")
    trainer.teacher.get_layer("logits").bias.assign(bias)
    with pytest.warns(UserWarning, match="no better than chance"):
        step(trainer, 1, x, y)


def test_mixed_precision_of_the_features():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = vectors("feature")
    history = step(trainer, 3, *blobs())
    assert np.all(np.isfinite(history["loss"]))
    parts = (*trainer.discriminator.variables, *trainer.adapter.variables)
    assert all(v.dtype == "float32" for v in parts)


class Opaque(keras.Model):
    """A model that Keras cannot make anew from its configuration."""

    def __init__(self, inner):
        super().__init__(name="opaque")
        self.inner = inner
        self.built = True

    def call(self, x, training=None):
        return self.inner(x, training=training)


def pair(**options):
    made = {"student": classifier("student"), "teacher": classifier("teacher", 4), **options}
    return AdversarialDistillation(**made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "hints"}, "`mode` must be one of ('logits', 'feature', 'kdgan')"),
        ({"mode": "kdgan", "variant": "code"}, "`variant` must be one of"),
        ({"student": "student"}, "`student` must be a keras.Model. Received: student='student'"),
        ({"discriminator": "judge"}, "`discriminator` must be a keras.Model"),
        ({"teacher": "teacher"}, "`teacher` must be a keras.Model, a kzoo.trainers.Teacher"),
        ({"adversarial_weight": -1.0}, "`adversarial_weight` must be a number >= 0"),
        ({"temperature": 0.0}, "`temperature` must be a finite number > 0"),
        ({"gumbel_temperature": 0.0}, "`gumbel_temperature` must be a finite number > 0"),
        ({"mode": "feature", "tap": "stage9"}, "no tap or layer 'stage9'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError) as error:
        pair(**options)
    assert message in str(error.value)


def test_bad_teachers():
    with pytest.raises(ValueError, match="5 classes of the teacher, 3 of the student"):
        pair(teacher=classifier("teacher", classes=5))
    with pytest.raises(ValueError, match="'student' has 3, 'teacher' has 5"):
        pair(teacher=classifier("teacher", classes=5), mode="kdgan")
    with pytest.raises(ValueError, match=r"must be a keras.Model\. Received: teacher=<kzoo"):
        pair(teacher=Teacher(classifier("teacher")), mode="kdgan")
    with pytest.raises(ValueError, match=r"TeacherEnsemble\. Received: a list of 2"):
        pair(teacher=[classifier("one"), classifier("two")])
    with pytest.raises(ValueError, match="'opaque' cannot be copied"):
        pair(teacher=Opaque(classifier("inner")), mode="kdgan")
    student = classifier("student")
    with pytest.raises(ValueError, match="would change with the student"):
        pair(student=student, teacher=student)


@pytest.mark.parametrize(
    ("mode", "shape", "message"),
    [
        ("logits", (4, 4), "vectors of 3 components here and must take inputs of shape (None, 3)"),
        (
            "logits",
            (3, 3),
            "outputs of shape (None, 4) or (None, 1). Received: output shape (None, 3)",
        ),
        ("feature", (3, 4), "must take inputs of shape (None, 8). Received: input shape (None, 3)"),
        ("kdgan", (1, 3), "inputs of shape (None, 8, 8, 1). Received: input shape (None, 1)"),
    ],
)
def test_bad_discriminators(mode, shape, message):
    with pytest.raises(ValueError) as error:
        pair(mode=mode, discriminator=fixed(np.zeros(shape), "judge"))
    assert message in str(error.value)


def test_a_discriminator_of_labels_needs_a_logit_for_each_class():
    with pytest.raises(ValueError, match=r"each of the 3 classes\. Received: 4 logits"):
        pair(mode="kdgan", discriminator=classifier("judge", classes=4))
