"""Specialists: how they start, what they learn from, what comes out of them together."""

import keras
import numpy as np
import pytest
from keras import ops

import kzoo
from kzoo.losses import SoftTargets
from kzoo.trainers import Distiller, PlayerOptimizers, SpecialistEnsemble
from tests.trainers.models import classifier, equal, images, values

GROUPS = ((0, 1), (3, 1))
SPARSE = "sparse_categorical_crossentropy"


def eager():
    return keras.backend.backend() == "tensorflow"


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy(x):
    return np.asarray(ops.convert_to_numpy(x), "float64")


def generalist(probabilities=True, classes=4, seed=0, bias=True, name="generalist"):
    """A linear classifier of three numbers."""
    random = np.random.default_rng(seed)
    layer = keras.layers.Dense(
        classes, "softmax" if probabilities else None, use_bias=bias, name="logits"
    )
    model = keras.Sequential([keras.Input((3,)), layer], name=name)
    layer.set_weights([random.standard_normal(w.shape) for w in layer.get_weights()])
    return model


def vectors(count=12, seed=1):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, 3)).astype("float32"), np.arange(count) % 4


def ensemble(model=None, groups=GROUPS, optimizer=None, loss=None, **options):
    keras.utils.set_random_seed(0)
    model = model or generalist()
    trainer = SpecialistEnsemble(model, groups, **options)
    loss = loss or keras.losses.SparseCategoricalCrossentropy(
        from_logits="softmax" not in str(model.layers[-1].activation)
    )
    trainer.compile(
        optimizer or keras.optimizers.SGD(0.1), loss, metrics=["accuracy"], run_eagerly=eager()
    )
    return trainer


def own_bins(labels, group):
    """A specialist's labels."""
    return np.array([group.index(c) if c in group else len(group) for c in labels])


@pytest.mark.parametrize("probabilities", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_specialist_starts_with_the_logits_of_the_generalist(probabilities, bias):
    model = generalist(probabilities, bias=bias)
    counts = np.array([50, 20, 10, 20])
    trainer = SpecialistEnsemble(model, GROUPS, class_counts=counts)
    kernel, *biases = [np.asarray(w, "float64") for w in model.get_weights()]
    x, _ = vectors()
    logits = x @ kernel + (biases[0] if bias else 0.0)
    for specialist, group, others in zip(
        trainer.specialists, GROUPS, ([2, 3], [0, 2]), strict=True
    ):
        dustbin = logits[:, others].mean(-1, keepdims=True)
        if bias:
            # log 2 makes it the sum of two equal ones; inference adds the log of the odds.
            odds = counts.sum() / counts[list(group)].sum() - 1
            dustbin = dustbin + np.log(2) - np.log(odds)
        expected = np.concatenate([logits[:, list(group)], dustbin], axis=-1)
        found = numpy(specialist(x))
        if probabilities:
            expected = softmax(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_dustbin_starts_as_the_others_where_these_are_alike():
    model = generalist()
    kernel, bias = model.get_weights()
    kernel[:, [2, 3]], bias[[2, 3]] = kernel[:, [2]], bias[2]
    model.set_weights([kernel, bias])
    trainer = SpecialistEnsemble(model, [(0, 1)], class_counts=[5, 1, 40, 54])
    x, _ = vectors()
    np.testing.assert_allclose(numpy(trainer(x)), numpy(model(x)), rtol=1e-4, atol=1e-6)


def test_a_copy_has_all_layers_and_weights_of_its_own_and_trains_whole():
    model = classifier("net", dropout=0.3)
    model.trainable = False
    trainer = SpecialistEnsemble(model, [(0, 2)])
    (specialist,) = trainer.specialists
    assert specialist.name == "net_specialist1"
    assert [layer.name for layer in specialist.layers] == [layer.name for layer in model.layers]
    assert [layer.rate for layer in specialist.layers if layer.name == "dropout"] == [0.3]
    for layer in model.layers:
        if layer.name != "logits":
            assert equal(layer.get_weights(), specialist.get_layer(layer.name).get_weights())
    assert not {id(v) for v in model.variables} & {id(v) for v in specialist.variables}
    assert len(specialist.trainable_weights) == 10
    assert not model.trainable
    assert not model.trainable_weights


def test_a_nested_generalist_with_operations_and_a_kzoo_generalist():
    inputs = keras.Input((8, 8, 1))
    trunk = keras.Model(inputs, keras.layers.Conv2D(3, 3, name="conv")(inputs), name="trunk")
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(ops.relu(trunk(inputs)))
    x = keras.layers.Dense(4, name="scores")(keras.layers.Dropout(0.2)(x + 1.0))
    nested = keras.Model(inputs, keras.layers.Softmax(name="predictions")(x), name="nested")
    zoo = kzoo.applications.HighwayNet(depth=3, input_shape=(8, 8, 1), classes=4)
    for model in (nested, zoo):
        (specialist,) = SpecialistEnsemble(model, [(1, 3)]).specialists
        batch, _ = images(5)
        found, given = np.log(numpy(specialist(batch))), np.log(numpy(model(batch)))
        np.testing.assert_allclose(
            found[:, 0] - found[:, 1], given[:, 1] - given[:, 3], rtol=1e-3, atol=1e-5
        )


def test_a_step_against_numpy():
    """Each specialist descends by its own rate on its own block and its own labels."""
    model, (x, y) = generalist(), vectors(12)
    rates = {"specialist1": 0.5, "specialist2": 0.2}
    optimizer = PlayerOptimizers({n: keras.optimizers.SGD(r) for n, r in rates.items()})
    trainer = ensemble(model, optimizer=optimizer)
    weights = np.random.default_rng(3).random(12).astype("float32")
    before = [[w.astype("float64") for w in m.get_weights()] for m in trainer.specialists]
    frozen = model.get_weights()
    logs = trainer.fit(x, y, sample_weight=weights, batch_size=12, shuffle=False, verbose=0).history
    total = 0.0
    for number, (name, rate) in enumerate(rates.items()):
        kernel, bias = before[number]
        own, labels = x[number::2].astype("float64"), own_bins(y[number::2], GROUPS[number])
        p = softmax(own @ kernel + bias)
        losses = -np.log(p[np.arange(6), labels]) * weights[number::2]
        by_logits = (p - np.eye(3)[labels]) * weights[number::2, None] / 6
        expected = [kernel - rate * own.T @ by_logits, bias - rate * by_logits.sum(0)]
        for found, wanted in zip(trainer.specialists[number].get_weights(), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(logs[f"{name}_task_loss"], [losses.mean()], rtol=1e-4)
        right = np.mean(p.argmax(-1) == labels)
        np.testing.assert_allclose(logs[f"{name}_accuracy"], [right], rtol=1e-5)
        np.testing.assert_allclose(logs[f"{name}_share"], [np.mean(labels < 2)], rtol=1e-5)
        total += losses.mean()
    np.testing.assert_allclose(logs["loss"], [total], rtol=1e-4)
    assert equal(frozen, model.get_weights())
    assert set(logs) == {"loss"} | {
        f"{name}_{what}" for name in rates for what in ("task_loss", "accuracy", "share")
    }


def test_one_hot_labels_train_as_integers_do():
    x, y = vectors(8)
    found = []
    for labels, loss in ((y, SPARSE), (y[:, None], SPARSE), (np.eye(4)[y], "crossentropy")):
        loss = "categorical_crossentropy" if loss == "crossentropy" else loss
        trainer = ensemble(loss=loss)
        logs = trainer.fit(x, labels, batch_size=8, shuffle=False, verbose=0).history
        shown = trainer.evaluate(x, labels, verbose=0, return_dict=True)
        found.append((values(trainer.trainable_variables), logs, shown))
    for weights, logs, shown in found[1:]:
        for one, other in zip(weights, found[0][0], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
        for mine, first in ((logs, found[0][1]), (shown, found[0][2])):
            assert mine.keys() == first.keys()
            for name in mine:
                np.testing.assert_allclose(mine[name], first[name], rtol=1e-5)


@pytest.mark.parametrize("probabilities", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"active": "all", "iterations": 30},
        {"top": 2, "class_counts": [9, 1, 5, 3], "iterations": 20},
    ],
)
def test_predictions_are_the_minimum_of_the_published_sum(probabilities, options):
    """Against a search on the simplex, from the models' own outputs; and what evaluate shows."""
    model, (x, y) = generalist(probabilities), vectors(12)
    options = {"iterations": 60, **options}
    trainer = ensemble(model, **options)
    for specialist in trainer.specialists:
        specialist.set_weights([w + 0.1 * (i + 1) for i, w in enumerate(specialist.get_weights())])
    outputs = [numpy(m(x)) for m in (model, *trainer.specialists)]
    general, *specials = outputs if probabilities else [softmax(z) for z in outputs]
    counts = np.array(options.get("class_counts", np.ones(4)), "float64")
    first = np.argsort(-general, axis=-1)[:, : options.get("top", 1)]
    active = np.array([[bool(set(row) & set(group)) for group in GROUPS] for row in first])
    active = np.ones_like(active) if options.get("active") == "all" else active
    seen, shown = [], trainer.evaluate(x, y, verbose=0, return_dict=True)
    q = numpy(trainer(x))
    q = q if probabilities else np.exp(q)
    np.testing.assert_allclose(numpy(trainer.predict(x, verbose=0)), numpy(trainer(x)), rtol=1e-5)
    for p, group in zip(specials, GROUPS, strict=True):
        inside = counts[list(group)].sum()
        p = p * [1, 1, (counts.sum() - inside) / inside]
        seen.append(p / p.sum(-1, keepdims=True))

    def total(q):
        value = -(general * np.log(q)).sum(-1)
        for number, (p, group) in enumerate(zip(seen, GROUPS, strict=True)):
            own = q[..., list(group)]
            own = np.concatenate([own, 1 - own.sum(-1, keepdims=True)], axis=-1)
            value = value - active[:, number] * (p * np.log(own)).sum(-1)
        return value

    random = np.random.default_rng(0)
    for size in (1.0, 0.1, 0.01):
        others = softmax(np.log(q) + size * random.standard_normal((500, *q.shape)))
        assert (total(others).min(axis=0) > total(q) - 1e-6).all()
    assert shown["accuracy"] == pytest.approx(np.mean(q.argmax(-1) == y))
    assert shown["loss"] == pytest.approx(np.mean(-np.log(q[np.arange(12), y])), rel=1e-4)
    assert shown["generalist_accuracy"] == pytest.approx(np.mean(general.argmax(-1) == y))
    for number, (p, group) in enumerate(zip(seen, GROUPS, strict=True), start=1):
        right = np.mean(p.argmax(-1) == own_bins(y, group))
        assert shown[f"specialist{number}_accuracy"] == pytest.approx(right)


def test_validation_shows_what_evaluate_does():
    x, y = vectors(8)
    trainer = ensemble()
    logs = trainer.fit(x, y, batch_size=8, epochs=2, validation_data=(x, y), verbose=0).history
    shown = trainer.evaluate(x, y, verbose=0, return_dict=True)
    assert {name for name in logs if name.startswith("val_")} == {f"val_{name}" for name in shown}
    for name, value in shown.items():
        assert logs[f"val_{name}"][-1] == pytest.approx(value, rel=1e-5)
    assert "accuracy" not in logs
    assert "generalist_accuracy" not in logs
    assert len(trainer.evaluate(x, y, verbose=0)) == len(shown)


def test_given_specialists_settings_and_weights_come_back_from_the_file(tmp_path):
    model, (x, y) = generalist(), vectors(8)
    own = [generalist(classes=3, seed=s, name=f"own{s}") for s in (5, 6)]
    options = {"class_counts": np.array([1, 2, 3, 4]), "active": "all", "iterations": 9}
    trainer = ensemble(model, specialists=own, optimizer="adam", **options)
    assert trainer.specialists == own
    trainer.fit(x, y, batch_size=8, verbose=0)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert loaded.groups == GROUPS
    assert list(loaded.class_counts) == [1.0, 2.0, 3.0, 4.0]
    assert (loaded.active, loaded.top, loaded.iterations) == ("all", 1, 9)
    assert [m.name for m in loaded.specialists] == ["own5", "own6"]
    assert loaded.generalist.name == "generalist"
    np.testing.assert_allclose(numpy(loaded(x)), numpy(trainer(x)), rtol=1e-6)
    trainer.ensemble.save(tmp_path / "ensemble.keras")
    plain = keras.saving.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(numpy(plain(x)), numpy(trainer(x)), rtol=1e-6)


def test_classes_in_no_group_and_in_two():
    trainer = ensemble(groups=((0, 1), (1, 3)))
    assert trainer.iterations == 50
    assert ensemble(groups=((0, 1), (2, 3))).iterations == 1
    x, _ = vectors(30)
    given, found = numpy(trainer.generalist(x)), numpy(trainer(x))
    alone = given.argmax(-1) == 2
    assert alone.any()
    np.testing.assert_allclose(found[alone], given[alone], rtol=1e-5)


def test_batches_of_another_sampler_are_warned_of():
    x, y = vectors(400)
    trainer = ensemble(groups=((0, 1, 2),))
    with pytest.warns(UserWarning, match=r"specialist1, 75% are of its group .0, 1, 2.*Blocks"):
        trainer.fit(x, y, batch_size=100, verbose=0)
    order = kzoo.data.SpecialistBlocks(((0, 1, 2),), 100).order(y, 100, np.random.default_rng(0))
    trainer.fit(x[order], y[order], batch_size=100, shuffle=False, verbose=0)


@pytest.mark.parametrize("graph", [True, False])
def test_a_batch_with_fewer_samples_than_groups(graph):
    x, y = vectors(13)
    trainer = ensemble(groups=((0, 1), (2, 3), (1, 2)))
    trainer.run_eagerly = eager() and not graph
    logs = trainer.fit(x, y, batch_size=6, epochs=2, verbose=0).history  # the last batch holds 1
    assert all(np.isfinite(found).all() for found in logs.values())
    assert all(np.isfinite(weight).all() for weight in trainer.get_weights())


def test_a_generalist_with_named_inputs_predicts():
    inputs = {"x": keras.Input((3,), name="x")}
    top = keras.layers.Dense(4, "softmax", name="top")(inputs["x"])
    trainer = ensemble(keras.Model(inputs, top, name="inputs"), groups=((0, 1), (2, 3)))
    x, y = vectors(8)
    trainer.fit({"x": x}, y, batch_size=8, validation_data=({"x": x}, y), verbose=0)
    assert trainer.predict({"x": x}, verbose=0).shape == (8, 4)
    assert trainer.ensemble.predict({"x": x}, verbose=0).shape == (8, 4)


def test_labels_that_are_missing_are_asked_for():
    x, _ = vectors(8)
    trainer = SpecialistEnsemble(generalist(), GROUPS)
    trainer.compile("sgd", run_eagerly=eager())
    with pytest.raises(ValueError, match="needs the class of each sample"):
        trainer.fit(x, batch_size=8, verbose=0)


def test_without_a_loss_there_is_nothing_to_train():
    trainer = SpecialistEnsemble(generalist(), GROUPS)
    trainer.compile("sgd", run_eagerly=eager())
    with pytest.raises(ValueError, match="nothing to train"):
        trainer.fit(*vectors(8), batch_size=8, verbose=0)


class Subclassed(keras.Model):
    def call(self, x):
        return x


def _deep():
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(4, 1)(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="logits")(x), name="conv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpecialistEnsemble("net", GROUPS), "`generalist` must be a trained functional"),
        (lambda: SpecialistEnsemble(Subclassed(), GROUPS), "`generalist` must be a trained"),
        (
            lambda: SpecialistEnsemble(keras.Sequential([keras.layers.Dense(3)]), GROUPS),
            "`generalist` must be a trained functional",
        ),
        (
            lambda: SpecialistEnsemble(
                keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(4, 1)]), GROUPS
            ),
            "must be a classifier with outputs (batch, classes)",
        ),
        (lambda: SpecialistEnsemble(_deep(), GROUPS), "ends with a Dense layer"),
        (lambda: SpecialistEnsemble(generalist(), [(0,)]), "two or more different classes"),
        (lambda: SpecialistEnsemble(generalist(), []), "`groups` must be a list of groups"),
        (lambda: SpecialistEnsemble(generalist(), [(0, 4)]), "names class 4, but the generalist"),
        (lambda: SpecialistEnsemble(generalist(), [(0, 1, 2, 3)]), "must leave out a class"),
        (lambda: SpecialistEnsemble(generalist(), GROUPS, active="best"), "`active` must be"),
        (lambda: SpecialistEnsemble(generalist(), GROUPS, top=0), "`top` must be"),
        (lambda: SpecialistEnsemble(generalist(), GROUPS, top=5), "at most the 4 classes"),
        (lambda: SpecialistEnsemble(generalist(), GROUPS, iterations=0), "`iterations` must be"),
        (
            lambda: SpecialistEnsemble(generalist(), GROUPS, class_counts=[1, 2]),
            "`class_counts` must hold the number",
        ),
        (
            lambda: SpecialistEnsemble(generalist(), GROUPS, class_counts=[0, 0, 1, 1]),
            "none for the group (0, 1)",
        ),
        (
            lambda: SpecialistEnsemble(generalist(), GROUPS, class_counts=[1, 1, 0, 0]),
            "none for the group (0, 1)",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("specialists", "message"),
    [
        (lambda g: [generalist(classes=3, name="a")], "a list of 2 keras.Model"),
        (lambda g: ["a", "b"], "a list of 2 keras.Model"),
        (lambda g: [generalist(classes=3, name="a")] * 2, "different names"),
        (
            lambda g: [generalist(classes=3, name="a"), generalist(classes=4, name="b")],
            "'b' of the group (3, 1) must have 3 outputs",
        ),
        (
            lambda g: [generalist(False, 3, name="a"), generalist(False, 3, name="b")],
            "end with a softmax as the generalist does",
        ),
        (
            lambda g: [
                generalist(classes=3, name="a"),
                keras.Sequential([keras.Input((3,)), *g.layers], name="b"),
            ],
            "without common variables",
        ),
    ],
)
def test_specialists_that_do_not_fit(specialists, message):
    model = generalist()
    with pytest.raises(ValueError) as error:
        SpecialistEnsemble(model, GROUPS, specialists=specialists(model))
    assert message in str(error.value)


def test_specialists_that_are_not_built_are_built():
    own = [keras.Sequential([keras.layers.Dense(3, "softmax")], name=name) for name in ("a", "b")]
    trainer = ensemble(specialists=own)
    trainer.fit(*vectors(8), batch_size=8, verbose=0)
    assert trainer.predict(vectors(5)[0], verbose=0).shape == (5, 4)


@pytest.fixture(scope="module")
def digits():
    """A generalist of digits that is too small, and specialists trained as published."""
    keras.utils.set_random_seed(0)
    dataset = kzoo.data.load("digits")
    x, y = dataset.arrays("train")
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(8, "relu", name="hidden"),
            keras.layers.Dense(10, "softmax", name="logits"),
        ],
        name="generalist",
    )
    model.compile(keras.optimizers.Adam(0.01), SPARSE, metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=6, verbose=0)
    predicted = model.predict(dataset.arrays("validation")[0], verbose=0)
    groups = kzoo.trainers.confusable_classes(predicted, num_groups=4, temperature=2.0)
    counts = np.bincount(y)
    trainer = SpecialistEnsemble(model, groups, class_counts=counts)
    trainer.compile(keras.optimizers.Adam(0.01), SPARSE, metrics=["accuracy"])
    size = 32 * len(groups)
    sequence = dataset.sequence(
        "train", size, sampler=kzoo.data.SpecialistBlocks(groups, size), seed=0
    )
    logs = trainer.fit(sequence, epochs=6, verbose=0).history
    return dataset, trainer, logs


def test_specialists_of_digits_make_the_generalist_better(digits):
    dataset, trainer, logs = digits
    for name in trainer.players():
        assert logs[f"{name}_share"] == pytest.approx([0.5] * 6)
        assert logs[f"{name}_accuracy"][-1] > logs[f"{name}_accuracy"][0]
    shown = trainer.evaluate(*dataset.arrays("train"), verbose=0, return_dict=True)
    assert shown["accuracy"] > shown["generalist_accuracy"]


def test_the_whole_is_distilled_into_one_model(digits):
    dataset, trainer, _ = digits
    x, y = dataset.arrays("train")
    before = values(trainer.variables) + values(trainer.generalist.variables)
    student, logs = distilled(trainer.ensemble, x, y, epochs=4)
    whole = trainer.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    np.testing.assert_allclose(logs["teacher_accuracy"], [whole] * 4, atol=2e-3)
    assert logs["agreement"][-1] > 0.8 > logs["agreement"][0]
    assert equal(before, values(trainer.variables) + values(trainer.generalist.variables))
    assert student.predict(x[:5], verbose=0).shape == (5, 10)
    shown = kzoo.taps.extractor(trainer.ensemble, ["logits"])(x[:9])["logits"]
    np.testing.assert_allclose(numpy(shown), np.log(numpy(trainer(x[:9]))), rtol=1e-4)


def test_the_trainer_itself_teaches_as_its_ensemble_does(digits):
    dataset, trainer, _ = digits
    x, y = (array[:128] for array in dataset.arrays("train"))
    found = [distilled(teacher, x, y, epochs=1)[1] for teacher in (trainer, trainer.ensemble)]
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-4)


def distilled(teacher, x, y, epochs):
    keras.utils.set_random_seed(1)
    student = keras.Sequential(
        [keras.Input(x.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(10)], name="student"
    )
    distiller = Distiller(student, teacher, SoftTargets(temperature=2.0), task_weight=0.0)
    distiller.compile(keras.optimizers.Adam(0.03))
    return student, distiller.fit(x, y, batch_size=64, epochs=epochs, verbose=0).history
