"""Data-free learning against its formulas in NumPy, and the proof that it reads no data."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import callbacks, schedules
from kzoo.trainers import DataFreeDistillation, PlayerOptimizers
from kzoo.trainers._data_free_terms import activation, entropy, generated_classes, one_hot
from kzoo.trainers._generator import default_generator
from tests.helpers import random_array, value_and_gradients
from tests.trainers.models import classifier, equal, images, values

LATENT, SIZE, HIDDEN, CLASSES, BATCH = 3, 4, 5, 3, 16
RATES = {"generator": 0.5, "student": 0.2}
WEIGHTS = {"one_hot_weight": 0.7, "entropy_weight": 3.0, "activation_weight": 0.4}
LOSS = "sparse_categorical_crossentropy"


def eager():
    return keras.backend.backend() == "tensorflow"


def dense(units, seed, name, shape, **options):
    start = keras.initializers.Constant(random_array(*shape, seed=seed, scale=0.7))
    return keras.layers.Dense(units, use_bias=False, kernel_initializer=start, name=name, **options)


def linear(seed=0, **options):
    """Vectors for images and one matrix a layer, for which the step can be done by hand."""
    teacher = keras.Sequential(
        [
            keras.Input((SIZE,)),
            dense(HIDDEN, 1, "features", (SIZE, HIDDEN), activation="tanh"),
            dense(CLASSES, 2, "logits", (HIDDEN, CLASSES)),
        ],
        name="teacher",
    )
    student = keras.Sequential(
        [keras.Input((SIZE,)), dense(CLASSES, options.pop("start", 3), "logits", (SIZE, CLASSES))],
        name="student",
    )
    generator = keras.Sequential(
        [keras.Input((LATENT,)), dense(SIZE, 4, "image", (LATENT, SIZE))], name="generator"
    )
    settings = {"latent": LATENT, "batch_size": BATCH, "feature_tap": "features", **WEIGHTS}
    trainer = DataFreeDistillation(
        student, teacher, generator, seed=seed, **{**settings, **options}
    )
    rates = {name: keras.optimizers.SGD(rate) for name, rate in RATES.items()}
    trainer.compile(PlayerOptimizers(rates), run_eagerly=eager())
    return trainer


def little_generator():
    """The default one takes most of the time of a tiny step."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(64, name="dense"),
            keras.layers.Reshape((8, 8, 1), name="maps"),
            keras.layers.BatchNormalization(center=False, scale=False, name="image"),
        ],
        name="generator",
    )


def small(rate=0.1, **options):
    """A convolutional teacher and student, the same each time."""
    keras.utils.set_random_seed(0)
    settings = {"latent": 4, "batch_size": 8, "steps_per_epoch": 1, "seed": 5, **options}
    settings.setdefault("teacher", classifier("teacher", filters=3, dropout=0.2))
    if "images" not in settings or isinstance(settings["images"], str):
        generated = settings.get("images", "generated") == "generated"
        settings.setdefault("generator", little_generator() if generated else None)
    trainer = DataFreeDistillation(classifier("student"), **settings)
    optimizers = {name: keras.optimizers.SGD(rate, 0.9) for name in trainer.players()}
    trainer.compile(PlayerOptimizers(optimizers), LOSS, metrics=["accuracy"], run_eagerly=eager())
    return trainer


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def softmax(z):
    return np.exp(log_softmax(z))


def numpy_terms(logits, features):
    """Those of the generator, float64."""
    probabilities = softmax(logits)
    mean = probabilities.mean(axis=0)
    return {
        "one_hot": np.mean(-np.log(probabilities.max(axis=-1))),
        "entropy": np.sum(mean * np.log10(mean)),
        "activation": -np.mean(np.abs(features)),
    }


def numpy_generator_loss(trainer, latent, weights, matrix=None):
    """L_G of `linear` as a function of the generator's matrix; float64."""
    own, first, second = (
        values(model.weights) for model in (trainer.generator, trainer.teacher, trainer.student)
    )
    matrix = own[0].astype("float64") if matrix is None else matrix
    made = latent @ matrix
    features = np.tanh(made @ first[0].astype("float64"))
    logits = features @ first[1].astype("float64")
    found = numpy_terms(logits, features)
    terms = {name: weights[f"{name}_weight"] * value for name, value in found.items()}
    return sum(terms.values()), terms, made, logits, made @ second[0].astype("float64")


def numeric_gradient(function, matrix, step=1e-6):
    found = np.zeros_like(matrix)
    for place in np.ndindex(*matrix.shape):
        ends = []
        for sign in (1, -1):
            moved = matrix.copy()
            moved[place] += sign * step
            ends.append(function(moved))
        found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


def first_latent(seed, shape=(BATCH, LATENT)):
    noise = keras.random.normal(shape, seed=keras.random.SeedGenerator(seed))
    return ops.convert_to_numpy(noise).astype("float64")


# The terms.


@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_terms_are_those_of_the_formulas(scale):
    logits = random_array(12, 5, scale=scale)
    features = random_array(12, 3, 3, 4, seed=1)
    expected = numpy_terms(logits.astype("float64"), features.astype("float64"))
    found = {"one_hot": one_hot(logits), "activation": activation(features)}
    for name, value in found.items():
        assert tuple(value.shape) == (12,)
        np.testing.assert_allclose(ops.mean(value), expected[name], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(entropy(logits), expected["entropy"], rtol=1e-5)


def test_the_entropy_is_to_base_ten():
    # Ten equally frequent classes: minus one. To base e it would be -2.303.
    np.testing.assert_allclose(entropy(np.eye(10, dtype="float32") * 50.0), -1.0, rtol=1e-6)
    np.testing.assert_allclose(entropy(np.zeros((4, 10), "float32")), -1.0, rtol=1e-6)
    one_class = np.tile(np.eye(10, dtype="float32")[3] * 50.0, (4, 1))
    np.testing.assert_allclose(entropy(one_class), 0.0, atol=1e-6)


def test_the_one_hot_term_takes_the_class_as_a_constant():
    # Equal logits: the gradient is that of the cross-entropy with the first class.
    _, _, (found,) = value_and_gradients(
        lambda z: ops.sum(one_hot(z)), inputs=[np.zeros((1, 4), "float32")]
    )
    np.testing.assert_allclose(found, [[-0.75, 0.25, 0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize("term", [one_hot, entropy])
def test_terms_of_extreme_logits_are_finite(term):
    logits = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 5.0]], "float32")
    value, _, (gradient,) = value_and_gradients(lambda z: ops.sum(term(z)), inputs=[logits])
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(gradient))


def test_number_of_generated_classes():
    one, two = np.eye(4, dtype="float32")[[0, 0, 0, 0]], np.eye(4, dtype="float32")[[0, 1, 0, 1]]
    uneven = np.eye(4, dtype="float32")[[0, 0, 0, 1]]
    np.testing.assert_allclose(generated_classes(one), 1.0, rtol=1e-6)
    np.testing.assert_allclose(generated_classes(two), 2.0, rtol=1e-6)
    expected = np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    np.testing.assert_allclose(generated_classes(uneven), expected, rtol=1e-6)


# A step.


@pytest.mark.parametrize("alone", [None, "one_hot", "entropy", "activation"])
def test_a_step_by_hand(alone):
    weights = {
        name: weight if alone in (None, name.removesuffix("_weight")) else 0.0
        for name, weight in WEIGHTS.items()
    }
    trainer, latent = linear(**weights), first_latent(0)
    matrix, learnt = (
        values(model.weights)[0].astype("float64") for model in (trainer.generator, trainer.student)
    )
    _, terms, made, teacher, student = numpy_generator_loss(trainer, latent, weights)
    slope = numeric_gradient(
        lambda moved: numpy_generator_loss(trainer, latent, weights, moved)[0], matrix
    )
    target, shown = softmax(teacher), softmax(student)
    divergence = np.mean(np.sum(target * (log_softmax(teacher) - log_softmax(student)), axis=-1))
    logs = trainer.fit(steps_per_epoch=1, verbose=0).history

    found, student_found = (values(m.weights)[0] for m in (trainer.generator, trainer.student))
    assert np.abs(slope).max() > 1e-3
    np.testing.assert_allclose(found, matrix - RATES["generator"] * slope, atol=1e-5)
    by_student = made.T @ (shown - target) / BATCH
    np.testing.assert_allclose(student_found, learnt - RATES["student"] * by_student, atol=1e-5)

    expected = {name: value for name, value in terms.items() if weights[f"{name}_weight"]}
    expected |= {"soft_targets": divergence, "loss": sum(expected.values()) + divergence}
    same = teacher.argmax(-1) == student.argmax(-1)
    shares = np.bincount(teacher.argmax(-1), minlength=CLASSES) / BATCH
    shares = shares[shares > 0]
    expected |= {
        "teacher_confidence": np.mean(target.max(-1)),
        "agreement": np.mean(same),
        "generated_classes": np.exp(-np.sum(shares * np.log(shares))),
    }
    assert set(logs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], [value], rtol=1e-4, atol=1e-6)


def test_the_generator_does_not_learn_from_the_student():
    first, second = linear(start=3), linear(start=8)
    for trainer in (first, second):
        trainer.fit(epochs=2, steps_per_epoch=2, verbose=0)
    assert equal(values(first.generator.weights), values(second.generator.weights))
    assert not equal(values(first.student.weights), values(second.student.weights))


def test_the_temperature_softens_the_student_s_loss():
    trainer, latent = linear(temperature=3.0), first_latent(0)
    _, _, _, teacher, student = numpy_generator_loss(trainer, latent, WEIGHTS)
    teacher, student = teacher / 3.0, student / 3.0
    target = softmax(teacher)
    gap = np.sum(target * (log_softmax(teacher) - log_softmax(student)), axis=-1)
    logs = trainer.fit(steps_per_epoch=1, verbose=0).history
    np.testing.assert_allclose(logs["soft_targets"], [9.0 * np.mean(gap)], rtol=1e-4)


def test_weights_may_be_schedules():
    weights = {**WEIGHTS, "one_hot_weight": schedules.Linear(0.0, 2.0, 2)}
    trainer = linear(**weights)
    logs = trainer.fit(epochs=2, steps_per_epoch=1, verbose=0).history
    assert logs["one_hot"][0] == 0.0  # and no warning of a term that is 0
    assert logs["one_hot"][1] > 0.0


def test_each_step_draws_anew():
    trainer = linear()
    for player in RATES:
        trainer.optimizer[player].learning_rate = 0.0
    logs = trainer.fit(epochs=3, steps_per_epoch=1, verbose=0).history
    assert len(set(logs["soft_targets"])) == 3


# No data.


class Explosive:
    """Data that must not be touched, not even to be printed."""

    def _explode(self, *args):
        raise AssertionError("Training data were touched.")

    __len__ = __iter__ = __getitem__ = __array__ = __repr__ = __str__ = __bool__ = __eq__ = _explode
    __hash__ = object.__hash__


@pytest.mark.parametrize("argument", ["x", "y", "sample_weight", "class_weight", "batch_size"])
def test_fit_refuses_data_without_touching_them(argument):
    trainer = linear()
    with pytest.raises(ValueError, match=rf"trains without data: .* {argument} \(Explosive\)"):
        trainer.fit(**{argument: Explosive()})
    with pytest.raises(ValueError, match=rf"trains without data: .* {argument} \(Explosive\)"):
        trainer.train_on_batch(**{argument: Explosive()})


def test_fit_takes_its_epochs_by_name():
    with pytest.raises(ValueError, match=r"call fit\(epochs=\.\.\.\). Received: x \(int\)"):
        linear().fit(200)


def test_validation_changes_nothing_but_the_logs():
    x, y = images()
    results = []
    for data in (None, (x, y), (x[::-1] * 3.0, y)):
        trainer = small()
        logs = trainer.fit(epochs=2, validation_data=data, verbose=0).history
        results.append(values(trainer.trainable_variables))
    assert equal(results[0], results[1])
    assert equal(results[0], results[2])
    assert {"val_loss", "val_accuracy"} <= set(logs)
    assert "accuracy" not in logs  # there are no labels to train on
    evaluated = trainer.evaluate(x[::-1] * 3.0, y, verbose=0, return_dict=True)
    assert evaluated["accuracy"] == pytest.approx(logs["val_accuracy"][-1])
    alone = np.mean(np.argmax(trainer.student.predict(x, verbose=0), axis=-1) == y)
    assert trainer.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == pytest.approx(alone)


def test_the_teacher_stays_as_it_is():
    trainer = small()
    before, names = values(trainer.teacher.variables), [v.path for v in trainer.teacher.variables]
    trainer.fit(epochs=2, verbose=0)
    assert any("moving_mean" in name for name in names)
    assert equal(before, values(trainer.teacher.variables))
    owned = {id(v) for v in trainer.trainable_variables}
    assert not any(id(v) in owned for v in trainer.teacher.variables)


def test_steps_of_an_epoch():
    trainer = small(steps_per_epoch=3)
    trainer.fit(verbose=0)
    assert int(trainer.optimizer.iterations) == 3
    trainer.fit(epochs=2, steps_per_epoch=1, verbose=0)
    assert int(trainer.optimizer.iterations) == 5
    logs = trainer.train_on_batch(return_dict=True)
    assert int(trainer.optimizer.iterations) == 6
    assert {"loss", "one_hot", "soft_targets"} <= set(logs)


# Seeds, saving.


@pytest.mark.parametrize("source", ["generated", "noise", "array"])
def test_the_seed_decides(source):
    given = images(count=20)[0] if source == "array" else source
    results = []
    for seed in (5, 5, 6):
        trainer = small(images=given, seed=seed)
        trainer.fit(epochs=2, verbose=0)
        results.append(values(trainer.trainable_variables))
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


@pytest.mark.parametrize("source", ["generated", "noise", "array"])
def test_a_run_that_was_killed_goes_on_identically(tmp_path, source):
    given = images(count=20)[0] if source == "array" else source
    whole, first = small(images=given), small(images=given)
    whole.fit(epochs=3, verbose=0)
    checkpoint = callbacks.ResumableCheckpoint(tmp_path)
    first.fit(epochs=2, callbacks=[checkpoint], verbose=0)
    second = small(images=given)
    checkpoint = callbacks.ResumableCheckpoint(tmp_path)
    done = checkpoint.restore(second)
    second.fit(initial_epoch=done, epochs=3, callbacks=[checkpoint], verbose=0)
    assert done == 2
    assert equal(values(second.trainable_variables), values(whole.trainable_variables))


@pytest.mark.parametrize("source", ["generated", "noise", "array"])
def test_a_saved_trainer_goes_on(tmp_path, source):
    given = images(count=20)[0] if source == "array" else source
    trainer = small(images=given, one_hot_weight=schedules.Linear(0.0, 2.0, 4))
    trainer.fit(verbose=0)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    for one in (trainer, loaded):
        one.fit(verbose=0)
    assert equal(values(loaded.trainable_variables), values(trainer.trainable_variables))
    assert equal(values(loaded.teacher.weights), values(trainer.teacher.weights))
    assert np.array_equal(loaded.sample(3, seed=1), trainer.sample(3, seed=1))


# Images to look at, and the baselines.


def test_samples_are_those_of_training_and_change_nothing():
    trainer = small()
    trainer.fit(verbose=0)
    before = values(trainer.variables)
    found = trainer.sample(3, seed=7)
    assert equal(before, values(trainer.variables))
    assert isinstance(found, np.ndarray)
    assert found.shape == (3, 8, 8, 1)
    assert np.array_equal(found, trainer.sample(3, seed=7))
    assert not np.array_equal(found, trainer.sample(3, seed=8))
    whole = trainer.sample(8, seed=7)
    assert np.array_equal(found, whole[:3])
    # The statistics of the batch, as in training: the last normalisation makes it standard.
    np.testing.assert_allclose([whole.mean(), whole.std()], [0.0, 1.0], atol=1e-2)


@pytest.mark.parametrize("source", ["noise", "array"])
def test_baselines_train_the_student_alone(source):
    given = images(count=20)[0] if source == "array" else source
    trainer = small(images=given)
    assert trainer.generator is None
    assert set(trainer.players()) == {"student"}
    owned = {id(v) for v in trainer.student.trainable_variables}
    assert {id(v) for v in trainer.trainable_variables} == owned
    before = values(trainer.student.trainable_variables)
    trainer.compile("sgd", run_eagerly=eager())
    logs = trainer.fit(verbose=0).history
    assert set(trainer.term_names) == {"soft_targets"}
    assert "agreement" in logs
    assert "one_hot" not in logs
    assert not equal(before, values(trainer.student.trainable_variables))


def test_noise_is_standard_and_given_images_are_drawn_from_all():
    noise = small(images="noise", batch_size=64).sample(64, seed=0)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.0, 1.0], atol=0.05)
    given = np.arange(5.0)[:, None, None, None] + np.zeros((5, 8, 8, 1))
    drawn = small(images=given, batch_size=64).sample(64, seed=0)
    assert {image.min() for image in drawn} == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert np.array_equal(drawn.min(axis=(1, 2, 3)), drawn.max(axis=(1, 2, 3)))


def test_given_images_travel_with_the_state_but_not_with_checkpoints():
    trainer = small(images=images(count=20)[0])
    shape = (20, 8, 8, 1)
    assert any(tuple(v.shape) == shape for v in trainer.non_trainable_variables)
    assert not any(tuple(v.shape) == shape for v in trainer.variables)


# The generator.


@pytest.mark.parametrize("shape", [(32, 32, 1), (28, 28, 3), (7, 10, 2), (1, 1, 1)])
def test_the_default_generator_makes_any_size(shape):
    generator = default_generator(6, shape)
    assert generator.input_shape == (None, 6)
    assert generator.output_shape == (None, *shape)
    assert all(type(layer).__module__.startswith("keras.") for layer in generator.layers)
    normalized = generator.get_layer("image")
    assert not normalized.trainable_weights


def test_the_default_generator_is_the_published_one():
    # 100 to 128 maps of 8 x 8, their scale and offset, 3 x 3 convolutions 128, 64, 1.
    generator = default_generator(100, (32, 32, 1))
    expected = 101 * 128 * 8 * 8 + 2 * 128 + 9 * 128 * 128 + 2 * 128 + 9 * 128 * 64 + 2 * 64
    expected += 9 * 64 + 1
    assert sum(int(np.prod(w.shape)) for w in generator.trainable_weights) == expected


def test_the_width_of_the_default_generator():
    trainer = small(generator=None, generator_filters=6)
    widths = {n: trainer.generator.get_layer(n).output.shape[-1] for n in ("conv1", "conv2")}
    assert widths == {"conv1": 6, "conv2": 3}
    assert type(trainer).from_config(trainer.get_config()).generator_filters == 6


def test_the_epsilon_of_the_reference_code():
    for variant, epsilon in (("paper", 1e-5), ("reference", 0.8)):
        trainer = small(variant=variant, generator=None)
        norms = {name: trainer.generator.get_layer(name) for name in ("norm0", "norm1", "norm2")}
        found = {name: layer.epsilon for name, layer in norms.items()}
        assert found == {"norm0": 1e-5, "norm1": epsilon, "norm2": epsilon}


def test_a_generator_and_a_student_that_are_not_built():
    def vector(units, name):
        return keras.Sequential([keras.layers.Dense(units, name=f"{name}_dense")], name=name)

    teacher = keras.Sequential(
        [keras.Input((SIZE,)), keras.layers.Dense(HIDDEN, name="features"), keras.layers.Dense(3)]
    )
    trainer = DataFreeDistillation(
        vector(3, "student"),
        teacher,
        vector(SIZE, "generator"),
        latent=LATENT,
        batch_size=4,
        feature_tap="features",
    )
    assert trainer.student.input_shape == (None, SIZE)
    assert trainer.sample(2).shape == (2, SIZE)


# Errors and warnings.


def some(name="model", takes=(8, 8, 1), gives=3):
    inputs = keras.Input(takes)
    x = keras.layers.GlobalAveragePooling2D()(inputs) if len(takes) == 3 else inputs
    return keras.Model(inputs, keras.layers.Dense(gives, name="logits")(x), name=name)


def two_inputs():
    inputs = [keras.Input((8, 8, 1)), keras.Input((8, 8, 1))]
    return keras.Model(inputs, keras.layers.Flatten()(keras.layers.Add()(inputs)), name="two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "teacher"}, "`teacher` must be a keras.Model. Received: str"),
        ({"student": "student"}, "`student` must be a keras.Model. Received: str"),
        ({"teacher": two_inputs}, "`teacher` must have one input, an image. Received: 'two'"),
        (
            {"student": lambda: some(takes=(6, 6, 1))},
            r"must take the same images. Received: student \(6, 6, 1\)",
        ),
        ({"student": lambda: some(gives=4)}, "3 classes of the teacher, 4 of the student"),
        ({"generator": "generator"}, "`generator` must be a keras.Model. Received: str"),
        (
            {"generator": lambda: some(takes=(5,))},
            r"must take latent vectors of shape \(None, 4\). .* takes \[\(None, 5\)\]",
        ),
        (
            {"generator": lambda: some(takes=(4,))},
            r"must make what the teacher takes, \(None, 8, 8, 1\).*makes \(None, 3\)",
        ),
        ({"images": "real"}, "`images` must be 'generated', 'noise' or an array.*images='real'"),
        ({"images": None}, "`images` must be 'generated', 'noise' or an array"),
        ({"images": np.zeros((3, 6, 6, 1))}, r"an array of shape \(3, 6, 6, 1\)"),
        ({"images": np.zeros((0, 8, 8, 1))}, r"an array of shape \(0, 8, 8, 1\)"),
        (
            {"images": "noise", "generator": lambda: some(takes=(4,))},
            "other images need none. Received: generator .model. with images=.noise.",
        ),
        ({"variant": "code"}, "`variant` must be one of"),
        (
            {"generator": None, "generator_filters": 1},
            "`generator_filters` must be an integer >= 2",
        ),
        ({"latent": 0}, "`latent` must be an integer >= 1"),
        ({"batch_size": 1}, "`batch_size` must be an integer >= 2"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` must be an integer >= 1"),
        ({"temperature": 0.0}, "`temperature` must be a finite number > 0"),
        ({"entropy_weight": -1.0}, "`entropy_weight` must be a number >= 0 or a schedule"),
        (dict.fromkeys(WEIGHTS, 0), "must be above 0. Received: 0 for all"),
        ({"feature_tap": "stage9"}, "stage9"),
    ],
)
def test_arguments_are_checked(options, message):
    made = {key: value() if callable(value) else value for key, value in options.items()}
    given = {"student": some("student"), "teacher": some("teacher"), "latent": 4, **made}
    with pytest.raises(ValueError, match=message):
        DataFreeDistillation(**given)


def test_a_teacher_of_open_size_needs_a_generator_or_images():
    teacher, student = some("teacher", (None, None, 1)), some("student", (None, None, 1))
    with pytest.raises(ValueError, match=r"a fixed size. The teacher takes \(None, None, 1\)"):
        DataFreeDistillation(student, teacher)
    with pytest.raises(ValueError, match="Noise needs the size of the images"):
        DataFreeDistillation(student, teacher, images="noise")
    trainer = DataFreeDistillation(student, teacher, images=np.zeros((3, 5, 5, 1)), batch_size=2)
    assert trainer.sample(2).shape == (2, 5, 5, 1)


def test_the_student_is_not_the_teacher():
    model = some()
    with pytest.raises(ValueError, match="The teacher would change with the student"):
        DataFreeDistillation(model, model)


def test_two_players_need_two_optimizers():
    trainer = small()
    trainer.compile("adam", run_eagerly=eager())
    with pytest.raises(ValueError, match=r"PlayerOptimizers\(\{'generator': \.\.\., 'student'"):
        trainer.fit(verbose=0)


@pytest.mark.parametrize("count", [0, 9])
def test_samples_are_at_most_a_batch(count):
    with pytest.raises(ValueError, match="`count` must be"):
        small().sample(count)


def test_images_of_one_class_give_a_warning():
    teacher = classifier("teacher")
    teacher.get_layer("logits").bias.assign([9.0, 0.0, 0.0])
    trainer = small(teacher=teacher, batch_size=64, rate=0.0)
    with pytest.warns(UserWarning, match=r"of one class to the teacher \(generated_classes=1.00\)"):
        trainer.fit(steps_per_epoch=1, verbose=0)
    # Too few images to tell, and no generator that could do better.
    small(teacher=teacher, batch_size=8, rate=0.0).fit(steps_per_epoch=1, verbose=0)
    baseline = small(teacher=teacher, batch_size=64, images="noise", rate=0.0)
    baseline.fit(steps_per_epoch=1, verbose=0)
