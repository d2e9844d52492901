"""Data-distortion guided self-distillation: both variants in NumPy, and what two views must do."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import data
from kzoo.trainers import DataDistortionSelfDistillation
from kzoo.trainers.data_distortion_self_distillation import _VARIANTS
from tests.trainers.models import classifier, equal, values
from tests.trainers.pairs import (
    WEIGHTS,
    X,
    Y,
    compiled,
    cross_entropy,
    divergence,
    eager,
    exact,
    expect_gradients,
    forward,
    furthest,
    gradients,
    network,
    on_digits,
    plain,
    step,
)

OPTIONS = {"weight": 0.7, "feature_weight": 0.3, "task_weight": 0.4, "feature_tap": "features"}


def method(**options):
    options = {"feature_tap": "features", **options}
    return DataDistortionSelfDistillation(network(), **options)


def terms(weights, variant, temperature, of=None, taught=None):
    """The three terms without their weights; `taught` are logits that only teach."""
    of = np.ones(8) if of is None else of.astype("float64")
    features, logits = forward(weights, X)
    taught = logits if taught is None else taught
    first, second = logits[:4], logits[4:]
    task = cross_entropy(first, Y[:4], of[:4]) + cross_entropy(second, Y[4:], of[4:])
    there = divergence(taught[:4], second, temperature)
    back = divergence(taught[4:], first, temperature)
    pairs = (of[:4] + of[4:]) / 2.0
    if variant == "paper":
        mmd = np.sum((features[:4].mean(0) - features[4:].mean(0)) ** 2)
    else:
        task, mmd = task / 4.0, (features[:4].mean() - features[4:].mean()) ** 2
    return task, np.mean((there + back) * pairs), mmd


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_a_step_is_that_of_the_formula(variant, weighted):
    of = WEIGHTS if weighted else None
    trainer = compiled(method(variant=variant, temperature=2.0, **OPTIONS))
    start = exact(trainer.trainable_variables)
    logits = forward(start, X)[1]
    logs, found = step(trainer, sample_weight=of)

    def loss(taught):
        return lambda weights: np.dot([0.4, 0.7, 0.3], terms(weights, variant, 2.0, of, taught))

    expected = {"paper": None, "reference": logits}
    expect_gradients(found, gradients(loss(expected[variant]), start))
    names = {"task_loss": 0.4, "consistency": 0.7, "mmd": 0.3}
    pairs = zip(names.items(), terms(start, variant, 2.0, of), strict=True)
    for (name, weight), value in pairs:
        np.testing.assert_allclose(logs[name], weight * value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(logs["loss"], loss(None)(start), rtol=1e-5)
    # With and without a gradient to what teaches are different steps, so the above can tell.
    other = {"paper": logits, "reference": None}
    assert furthest(found, gradients(loss(other[variant]), start)) > 1e-2


def test_the_variants_have_one_value_of_consistency_at_one_temperature():
    logs = [step(compiled(method(variant=v, temperature=3.0)))[0] for v in _VARIANTS]
    np.testing.assert_allclose(logs[0]["consistency"], logs[1]["consistency"], rtol=1e-5)


@pytest.mark.parametrize(("variant", "temperature"), [("paper", 1.0), ("reference", 4.0)])
def test_published_settings(variant, temperature):
    trainer = DataDistortionSelfDistillation(classifier("student"), variant=variant)
    found = (trainer.temperature, trainer.weight, trainer.feature_weight, trainer.task_weight)
    assert found == (temperature, 1.0, 5e-4, 1.0)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_the_views_may_change_places(variant):
    found = []
    for order in (np.arange(8), np.r_[4:8, 0:4]):
        logs, gradient = step(compiled(method(variant=variant, **OPTIONS)), X[order], Y[order])
        found.append((logs, gradient))
    for name, value in found[0][0].items():
        np.testing.assert_allclose(found[1][0][name], value, rtol=1e-5, err_msg=name)
    expect_gradients(found[1][1], found[0][1])


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_equal_views_leave_the_task_alone(variant):
    x, y = np.tile(X[:4], (2, 1)), np.tile(Y[:4], 2)
    logs, found = step(compiled(method(variant=variant)), x, y)
    assert logs["consistency"] == pytest.approx(0.0, abs=1e-6)
    assert logs["mmd"] == 0.0
    _, task = step(compiled(method(variant=variant, weight=0.0, feature_weight=0.0)), x, y)
    assert np.isfinite(np.concatenate([g.ravel() for g in found])).all()
    expect_gradients(found, task)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_large_logits_are_finite(variant):
    x = np.concatenate([X[:4], -X[:4]]) * 1e4
    trainer = DataDistortionSelfDistillation(plain(), feature_weight=0.0, variant=variant)
    logs, found = step(compiled(trainer), x)
    assert logs["consistency"] > 1e3
    assert np.isfinite([logs["loss"], *(np.abs(g).max() for g in found)]).all()


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_maps_are_averaged_over_space(variant):
    x = np.random.default_rng(0).standard_normal((8, 8, 8, 1)).astype("float32")
    found = []
    for tap in ("pooled", "pool2"):
        keras.utils.set_random_seed(0)
        trainer = DataDistortionSelfDistillation(
            classifier("student"), feature_tap=tap, feature_weight=1.0, variant=variant
        )
        loss = "sparse_categorical_crossentropy"
        found.append(step(compiled(trainer, loss=loss), x)[0]["mmd"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_both_views_run_in_one_pass():
    norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name="norm")
    trainer = DataDistortionSelfDistillation(plain(norm), feature_weight=0.0)
    kernel, bias = exact(trainer.model.get_layer("logits").weights)
    logs, _ = step(compiled(trainer))
    x = X.astype("float64")
    logits = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) @ kernel + bias
    first, second = logits[:4], logits[4:]
    expected = np.mean(divergence(first, second) + divergence(second, first))
    np.testing.assert_allclose(logs["consistency"], expected, rtol=1e-4)
    moved = exact([norm.moving_mean])[0]
    np.testing.assert_allclose(moved, 0.1 * x.mean(0), rtol=1e-4, atol=1e-7)


def test_a_pair_of_weight_zero_counts_in_the_features_alone():
    weights = np.tile([1.0, 1.0, 1.0, 0.0], 2).astype("float32")
    changed = X.copy()
    changed[[3, 7]] += 1.0
    logs = [step(compiled(method()), x, sample_weight=weights)[0] for x in (X, changed)]
    for name in ("task_loss", "consistency"):
        np.testing.assert_allclose(logs[0][name], logs[1][name], rtol=1e-6)
    assert abs(logs[0]["mmd"] - logs[1]["mmd"]) > 1e-3 * logs[0]["mmd"]


def test_compiled_metrics_are_those_of_the_whole_batch():
    trainer = method()
    y = np.argmax(ops.convert_to_numpy(trainer.model(X)), -1)
    y[[4, 6]] = (y[[4, 6]] + 1) % 3
    logs, _ = step(compiled(trainer, metrics=["accuracy"]), y=y)
    assert logs["accuracy"] == 0.75


def test_batches_without_views_give_a_warning():
    trainer, y = compiled(method()), np.array([0, 1, 2, 0, 0, 1, 0, 1])
    with pytest.warns(UserWarning, match=r"Only 50.0% of the pairs .*views=2"):
        trainer.fit(X, y, batch_size=8, shuffle=False, verbose=0)


def test_terms_may_be_left_out():
    names = {"loss", "same_class", "task_loss", "consistency", "mmd"}
    for option, name in (("weight", "consistency"), ("feature_weight", "mmd")):
        logs, _ = step(compiled(method(**{option: 0.0})))
        assert set(logs) == names - {name}
    logs, _ = step(compiled(method(), loss=None))
    assert set(logs) == names - {"task_loss"}
    # No features are read where they weigh nothing.
    method(feature_weight=0.0, feature_tap="pooled")


def test_without_labels_only_the_views_teach():
    trainer = compiled(method(), loss=None)
    logs = trainer.fit(X, batch_size=8, shuffle=False, verbose=0).history
    assert set(logs) == {"loss", "consistency", "mmd"}


def test_an_odd_batch_is_an_error():
    trainer = compiled(method())
    with pytest.raises(
        ValueError, match=r"DataDistortionSelfDistillation .* a batch of 7.*views=2"
    ):
        trainer.fit(X[:7], Y[:7], batch_size=7, verbose=0)
    assert trainer.predict(X[:7], verbose=0).shape == (7, 3)


def digits(**options):
    dataset = data.load("digits", train_size=64)
    augment = data.CropFlip(padding=1, flip=False, fill=dataset.spec.black)
    return dataset.sequence("train", 24, shuffle=True, augment=augment, views=2, seed=1, **options)


def student_on_digits(**options):
    options = {"metrics": ["accuracy"], **options}
    trainer = DataDistortionSelfDistillation(on_digits(), feature_tap="hidden")
    return compiled(trainer, keras.optimizers.Adam(3e-3), **options)


def test_digits_in_two_views():
    trainer = student_on_digits()
    validation = data.load("digits", train_size=64).arrays("validation")
    options = {"validation_data": validation, "shuffle": False, "verbose": 0}
    history = trainer.fit(digits(), epochs=3, **options).history
    assert history["same_class"] == [1.0, 1.0, 1.0]
    assert history["loss"][-1] < history["loss"][0]
    for epoch in range(3):
        found = [history[name][epoch] for name in ("task_loss", "consistency", "mmd")]
        assert min(found) > 0.0
        assert history["loss"][epoch] == pytest.approx(sum(found), rel=1e-5)
    assert not {"val_consistency", "val_mmd", "val_same_class"} & set(history)
    assert trainer.student is trainer.model


@pytest.mark.tensorflow
def test_a_pipeline_of_views_in_graph_mode():
    """64 images are two batches of 24 and one of 16: batches of unknown size."""
    dataset = data.load("digits", train_size=64)
    augment = data.CropFlip(padding=1, flip=False, fill=dataset.spec.black)
    batches = dataset.pipeline("train", 24, shuffle=True, augment=augment, views=2, seed=1)
    assert batches.element_spec[0].shape[0] is None
    graph = student_on_digits(run_eagerly=False, jit_compile=False)
    found = graph.fit(batches, shuffle=False, verbose=0).history
    expected = student_on_digits().fit(digits(), shuffle=False, verbose=0).history
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name


def test_training_is_deterministic_and_resumes(tmp_path):
    def trained(epochs, trainer=None, first_epoch=0):
        trainer = trainer or student_on_digits()
        batches = digits(first_epoch=first_epoch)
        trainer.fit(batches, shuffle=False, epochs=epochs, verbose=0)
        return trainer

    whole, half, again = trained(2), trained(1), trained(1)
    assert equal(values(half.variables), values(again.variables))
    half.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    loaded.run_eagerly = eager()
    trained(1, loaded, first_epoch=1)
    pairs = zip(values(loaded.variables), values(whole.variables), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_saved_trainer_keeps_its_arguments(tmp_path):
    weight = keras.optimizers.schedules.PolynomialDecay(0.0, 4, 2.0)
    options = {**OPTIONS, "weight": weight, "variant": "reference", "temperature": 2.0}
    trainer = compiled(method(**options))
    logs = trainer.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    assert logs["consistency"][0] == 0.0 < logs["consistency"][1]
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert loaded.weight.get_config() == weight.get_config()
    for name in set(options) - {"weight"}:
        assert getattr(loaded, name) == options[name]
    pairs = zip(step(loaded)[1], step(trainer)[1], strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet"}, "`model` must be a keras.Model"),
        ({"temperature": 0.0}, "temperature"),
        ({"weight": -1.0}, "`weight` must be"),
        ({"feature_weight": None}, "`feature_weight` must be"),
        ({"task_weight": -1.0}, "`task_weight` must be"),
        ({"variant": "code"}, r"`variant` must be one of \('paper', 'reference'\)"),
        ({"feature_tap": "stage9"}, "no tap or layer 'stage9'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        DataDistortionSelfDistillation(**{"model": network(), "feature_tap": "features", **options})
