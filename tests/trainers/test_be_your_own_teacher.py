import json

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import applications, costs, taps
from kzoo.testing.subjects import numpy
from kzoo.trainers import BeYourOwnTeacher
from kzoo.trainers._early_exit import run_early
from kzoo.trainers._self_distillation import hint_term, soft_term
from tests.trainers.models import classifier, equal, images, values

LOSS = "sparse_categorical_crossentropy"


def network(stages=2, probabilities=True, size=9):
    """Stages of 9x9, 5x5 and 3x3: sizes that do not halve."""
    inputs = x = keras.Input((size, size, 1), name="image")
    for stage in range(1, stages + 1):
        strides = 1 if stage == 1 else 2
        x = keras.layers.Conv2D(3 * stage, 3, strides=strides, padding="same", name=f"conv{stage}")(
            x
        )
        x = keras.layers.BatchNormalization(name=f"norm{stage}")(x)
        x = keras.layers.Activation("relu", name=f"stage{stage}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dense(3, dtype="float32", name="logits")(x)
    if probabilities:
        x = keras.layers.Softmax(dtype="float32", name="predictions")(x)
    return keras.Model(inputs, x, name="network")


def data(count=8, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, 9, 9, 1)).astype("float32"), np.arange(count) % 3


def trainer(model=None, seed=0, optimizer=None, loss=LOSS, stages=2, **options):
    keras.utils.set_random_seed(seed)
    made = BeYourOwnTeacher(model or network(stages), **options)
    eager = keras.backend.backend() == "tensorflow"
    made.compile(optimizer or keras.optimizers.SGD(0.1), loss, run_eagerly=eager)
    return made


def fit(made, epochs=1, xy=None, **options):
    x, y = xy or data()
    given = {"batch_size": len(x), "shuffle": False, "verbose": 0, **options}
    return made.fit(x, y, epochs=epochs, **given).history


def shake(made, size=0.5):
    """Move all weights, so that images differ in what is made of them."""
    for model in (made.model, *made.exits):
        for weight in model.trainable_weights:
            weight.assign(weight + size * np.random.default_rng(0).standard_normal(weight.shape))
    return made


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def by_hand(variant, deepest, shallow, y, weights, soft=0.3, hint=0.03, temperature=3.0):
    """The terms of one exit in float64. `deepest` and `shallow` are (logits, features)."""
    (t, f_t), (s, f_s) = deepest, shallow
    count = len(y)
    task = -np.log(softmax(s)[np.arange(count), y])
    p, q = softmax(t / temperature), softmax(s / temperature)
    softened = np.sum(p * (np.log(p) - np.log(q)), axis=-1)
    squares = np.sum((f_s - f_t) ** 2, axis=-1)
    hinted = np.sum(weights * squares) / count
    if variant == "reference":
        softened = -np.sum(p * np.log(q), axis=-1)
        hinted = np.sqrt(np.sum(weights * squares))
    return {
        "task_loss": (1 - soft) * np.sum(weights * task) / count,
        "soft": soft * np.sum(weights * softened) / count,
        "hint": hint * hinted,
    }


def shown(made, x, training=False):
    """Logits and features of the network and its exits, read from the models that come out."""
    read = taps.extractor(made.model, ["logits", "pooled"])(x, training=training)
    found = {"final": (numpy(read["logits"]), numpy(read["pooled"]))}
    for name in ("stage1", "stage2"):
        model, feature = made.classifiers[name], f"exit_{name}_pooled"
        read = taps.extractor(model, ["logits", feature])(x, training=training)
        found[name] = (numpy(read["logits"]), numpy(read[feature]))
    return {name: tuple(np.float64(a) for a in pair) for name, pair in found.items()}


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_terms_against_numpy(variant):
    made, (x, y) = shake(trainer(variant=variant, stages=3), 0.3), data()
    found = shown(made, x)
    for weights in (np.ones(8), np.array([0.0, 1.0, 2.0, 0.5, 1.0, 0.0, 3.0, 1.0])):
        given = ops.convert_to_tensor(weights.astype("float32"))
        _, terms = made.compute_terms(*map(ops.convert_to_tensor, (x, y)), given, False)
        terms = {name: numpy(term) for name, term in terms.items()}
        for index, name in enumerate(("stage1", "stage2")):
            logits, feature = found[name]
            if variant == "reference":
                kernel, bias = (np.float64(v) for v in values(made.adapters[index].weights))
                feature = feature @ kernel + bias
            wanted = by_hand(variant, found["final"], (logits, feature), y, weights)
            for key, value in wanted.items():
                term = terms.pop(f"{name}_{key}")
                np.testing.assert_allclose(term, value, 1e-4, 1e-6, err_msg=f"{name}_{key}")
                assert value > 1e-3
        task = -np.log(softmax(found["final"][0])[np.arange(8), y])
        np.testing.assert_allclose(terms.pop("task_loss"), np.mean(weights * task), rtol=1e-5)
        assert not terms


def features():
    random = np.random.default_rng(0)
    return (random.standard_normal((4, 5)).astype("float32") for _ in range(2))


def of_arrays(function, variant, *arrays, **options):
    return numpy(function(variant, *map(ops.convert_to_tensor, arrays), **options))


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_soft_terms_of_large_logits_and_the_gradient_of_both_variants(variant):
    t, s = features()
    shifted = of_arrays(soft_term, variant, t + 1e4, s - 1e4, temperature=3.0)
    plain = of_arrays(soft_term, variant, t, s, temperature=3.0)
    np.testing.assert_allclose(shifted, plain, atol=2e-3)
    step, wanted = 1e-2, (softmax(s / 3.0) - softmax(t / 3.0)) / 3.0
    for row in range(5):
        moved = np.eye(5, dtype="float32")[row] * step
        ends = [of_arrays(soft_term, variant, t, s + d, temperature=3.0) for d in (moved, -moved)]
        np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), wanted[:, row], atol=2e-4)


def test_hint_of_the_reference_grows_with_the_root_of_the_batch():
    t, s = features()
    once = of_arrays(hint_term, "reference", t, s)
    twice = of_arrays(hint_term, "reference", *(np.tile(one, (2, 1)) for one in (t, s)))
    np.testing.assert_allclose(twice, np.sqrt(2.0) * once, rtol=1e-6)
    assert of_arrays(hint_term, "paper", t, s).shape == (4,)
    assert of_arrays(hint_term, "paper", t, t).max() == 0.0


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_hint_of_zero_moves_nothing():
    """The root has no finite gradient at 0."""
    made = trainer(variant="reference", loss=None, soft_weight=0.0, hint_weight=1.0)
    for adapter in made.adapters:
        adapter.kernel.assign(np.zeros(adapter.kernel.shape))
    made.model.get_layer("norm2").gamma.assign(np.zeros(6))
    before = values(made.trainable_variables)
    fit(made)
    assert equal(values(made.trainable_variables), before)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_exits_do_not_move_what_teaches_them(variant):
    made = trainer(variant=variant, loss=None, hint_weight=1.0)
    groups = {
        "behind": [v for n in ("conv2", "norm2", "logits") for v in _weights(made.model, n)],
        "before": [v for n in ("conv1", "norm1") for v in _weights(made.model, n)],
        "exits": [v for one in made.exits for v in one.trainable_variables],
        "adapters": [v for one in made.adapters for v in one.trainable_variables],
    }
    before = {name: values(group) for name, group in groups.items()}
    fit(made)
    after = {name: values(group) for name, group in groups.items()}
    assert equal(before["behind"], after["behind"])
    for name in ("before", "exits", "adapters")[: 3 if variant == "reference" else 2]:
        moved = [not np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True)]
        assert np.mean(moved) > 0.8, name


def _weights(model, layer):
    return model.get_layer(layer).trainable_variables


def test_terms_and_accuracies_are_logged():
    made, (x, y) = trainer(stages=3), data()
    logs = fit(made, validation_data=(x, y))
    terms = [f"{n}_{t}" for n in ("stage1", "stage2") for t in ("task_loss", "soft", "hint")]
    assert set(made.term_names) == {"task_loss", *terms}
    names = [f"{name}_accuracy" for name in ("final", "stage1", "stage2", "ensemble")]
    shown_by_fit = {*names, *(f"val_{name}" for name in names), "val_loss", "loss"}
    assert shown_by_fit | set(made.term_names) == set(logs)
    scores = {name: numpy(found) for name, found in made.scores(x).items()}
    assert list(scores) == ["final", "stage1", "stage2", "ensemble"]
    for name, found in scores.items():
        accuracy = np.mean(found.argmax(axis=-1) == y)
        np.testing.assert_allclose(logs[f"val_{name}_accuracy"][0], accuracy, atol=1e-6)
    each = [scores[name] for name in ("final", "stage1", "stage2")]
    np.testing.assert_allclose(scores["ensemble"], np.mean(each, axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"soft_weight": 0.0}, "soft"),
        ({"hint_weight": 0.0}, "hint"),
        ({"soft_weight": 1.0}, "task_loss"),
    ],
)
def test_terms_of_weight_zero_are_left_out(options, missing):
    made = trainer(variant="reference", **options)
    fit(made)
    assert not [name for name in made.term_names if name.endswith(f"_{missing}")]
    assert "task_loss" in made.term_names
    if missing == "hint":
        assert not made.adapters


def test_weights_follow_schedules():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 0.5])
    made = trainer(soft_weight=schedule, hint_weight=schedule)
    logs = fit(made, epochs=2)
    assert logs["stage1_soft"][0] == logs["stage1_hint"][0] == 0.0
    assert min(logs["stage1_soft"][1], logs["stage1_hint"][1]) > 0.0
    assert logs["stage1_task_loss"][1] < 0.7 * logs["stage1_task_loss"][0]


@pytest.mark.parametrize("probabilities", [True, False])
def test_what_comes_out_is_what_was_scored(probabilities, tmp_path):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)
    made, (x, _) = trainer(network(3, probabilities), loss=loss), data()
    fit(made)
    scores = made.scores(x)
    assert list(made.classifiers) == ["final", "stage1", "stage2"]
    for name, model in (*made.classifiers.items(), ("ensemble", made.ensemble)):
        np.testing.assert_allclose(numpy(model(x)), numpy(scores[name]), atol=1e-6)
        parts = model._flatten_layers(include_self=False)
        assert not any(isinstance(part, keras.Model) for part in parts)
        assert all(type(part).__module__.startswith("keras.") for part in parts)
    exit1 = made.classifiers["stage1"]
    assert made.classifiers["stage1"] is exit1
    names = [layer.name for layer in exit1.layers]
    assert "conv1" in names
    assert not {"conv2", "logits"} & set(names)
    assert exit1.get_layer("conv1") is made.model.get_layer("conv1")
    exit1.save(tmp_path / "exit.keras")
    loaded = keras.saving.load_model(tmp_path / "exit.keras")
    np.testing.assert_allclose(numpy(loaded(x)), numpy(scores["stage1"]), atol=1e-6)


def test_nothing_is_attached_to_the_student():
    model = network()
    names, count = [layer.name for layer in model.layers], model.count_params()
    made = trainer(model)
    fit(made)
    made.predict_early(data()[0], 0.5)
    assert made.student is model
    assert [layer.name for layer in model.layers] == names
    assert model.count_params() == count == network().count_params() < made.count_params()
    owned = {id(v) for one in made.exits for v in one.variables}
    assert not owned & {id(v) for v in model.variables}


@pytest.mark.parametrize(
    ("exit", "name"), [(None, "final"), ("final", "final"), ("stage1", "stage1")]
)
def test_export_writes_the_student_or_an_exit(exit, name, monkeypatch):
    import kzoo.export

    written = []
    monkeypatch.setattr(kzoo.export, "export_model", lambda *a, **k: written.append((*a, k)))
    made = trainer()
    made.export("there", exit=exit, format="onnx")
    assert written == [(made.classifiers[name], "there", {"format": "onnx"})]
    made.export("there", exit="ensemble")
    assert written[1][0] is made.ensemble
    with pytest.raises(ValueError, match=r"`exit` must be one of \('final', 'stage1'"):
        made.export("there", exit="stage2")


@pytest.mark.tensorflow
def test_an_exported_exit_is_the_exit(tmp_path):
    import tensorflow as tf

    made, (x, _) = trainer(), data()
    made.export(str(tmp_path / "exit"), exit="stage1")
    loaded = tf.saved_model.load(str(tmp_path / "exit"))
    np.testing.assert_allclose(loaded.serve(x), numpy(made.scores(x)["stage1"]), atol=1e-5)
    assert len(loaded.variables) == len(made.classifiers["stage1"].variables)


def test_best_is_the_most_accurate_of_the_last_evaluation():
    made, (x, _) = shake(trainer(stages=3)), data(20)
    assert made.best() is made.student
    found = numpy(made.scores(x)["stage2"]).argmax(axis=-1)
    logs = made.evaluate(x, found, verbose=0, return_dict=True)
    assert logs["stage2_accuracy"] == 1.0
    others = [logs[f"{name}_accuracy"] for name in ("final", "stage1")]
    assert max(others) < 1.0
    assert made.best() is made.classifiers["stage2"]


@pytest.mark.parametrize(("probabilities", "batch_size"), [(True, 3), (False, 32)])
def test_images_leave_where_they_are_sure(probabilities, batch_size):
    made, (x, _) = shake(trainer(network(3, probabilities))), data(20)
    names = ["stage1", "stage2", "final"]
    scores = {name: numpy(found) for name, found in made.scores(x).items()}
    if not probabilities:
        scores = {name: softmax(found) for name, found in scores.items()}
    for threshold, only in ((0, "stage1"), (1.5, "final")):
        found, left = made.predict_early(x, threshold, batch_size=batch_size)
        assert left.tolist() == [only] * 20
        np.testing.assert_allclose(found, scores[only], atol=1e-5)
    sure = np.stack([scores[name].max(axis=-1) for name in names[:2]], axis=1)
    threshold = float(np.mean(np.sort(sure[:, 0])[9:11]))
    wanted = [names[np.argmax([*(row >= threshold), True])] for row in sure]
    assert wanted.count("stage1") == 10
    found, left = made.predict_early(x, threshold, batch_size=batch_size)
    assert left.tolist() == wanted
    np.testing.assert_allclose(found, [scores[name][i] for i, name in enumerate(wanted)], atol=1e-5)


def test_all_through_is_predict():
    made, (x, _) = trainer(), data()
    fit(made)
    found, left = made.predict_early(x, 2.0)
    assert set(left) == {"final"}
    np.testing.assert_allclose(found, made.predict(x, verbose=0), atol=1e-5)
    found, left = made.predict_early(x[:0], 0.5)
    assert (found.shape, left.shape) == ((0, 3), (0,))
    with pytest.raises(ValueError, match="`x` must be an array of images"):
        made.predict_early(0.5, 0.5)


def test_there_are_no_exits_before_the_network_is_built():
    network = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="Call `fit` first"):
        BeYourOwnTeacher(network).best()


class Counting:
    """A segment that is sure of samples below a limit, and counts what it is given."""

    def __init__(self, limit, last=False):
        self.limit, self.last, self.seen = limit, last, []

    def predict_on_batch(self, x):
        self.seen.append(x[:, 0].tolist())
        sure = np.where(x[:, :1] < self.limit, 1.0, 0.5) * np.array([[1.0, 0.0]])
        return sure if self.last else [x, sure]


def test_segments_run_on_what_is_left_alone_and_on_full_batches():
    x = np.random.default_rng(0).permutation(20).astype("float32")[:, None]
    segments = [Counting(8.0), Counting(15.0), Counting(0.0, last=True)]
    _, left = run_early(segments, x, 1.0, 4, 2)
    numbers = x[:, 0]
    assert left.tolist() == np.where(numbers < 8, 0, np.where(numbers < 15, 1, 2)).tolist()
    given = [[n for batch in one.seen for n in batch] for one in segments]
    assert given[0] == numbers.tolist()
    assert given[1] == [n for n in numbers if n >= 8]
    assert given[2] == [n for n in numbers if n >= 15]
    assert [[len(batch) for batch in one.seen] for one in segments] == [[4] * 5, [4] * 3, [4, 1]]


def test_segments_share_the_work_of_the_whole():
    """No layer of the network is in two segments, so no feature is computed twice."""
    made = trainer(stages=3)
    segments = made._hidden.exits.segments
    own = [{layer.name for layer in segment.layers} for segment in segments]
    assert "conv1" in own[0]
    assert "conv2" in own[1]
    assert "conv3" in own[2]
    convolutions = [name for names in own for name in names if name.startswith("conv")]
    assert sorted(convolutions) == ["conv1", "conv2", "conv3"]
    whole = sum(costs.multiply_adds(segment) for segment in segments)
    attached = sum(costs.multiply_adds(one) for one in made.exits)
    assert whole == costs.multiply_adds(made.model) + attached
    first = costs.multiply_adds(made.classifiers["stage1"])
    assert costs.multiply_adds(segments[0]) == first < whole


def test_saved_loaded_and_resumed(tmp_path):
    momentum = keras.optimizers.SGD(0.05, momentum=0.9)
    made, (x, _) = trainer(variant="reference", optimizer=momentum), data()
    fit(made)
    made.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert isinstance(loaded, BeYourOwnTeacher)
    for name, found in made.scores(x).items():
        np.testing.assert_allclose(numpy(loaded.scores(x)[name]), numpy(found), atol=1e-6)
    for each in (made, loaded):
        fit(each)
    ends = (values(each.trainable_variables) for each in (made, loaded))
    for first, second in zip(*ends, strict=True):
        np.testing.assert_allclose(second, first, atol=1e-6)
    np.testing.assert_allclose(
        made.predict_early(x, 0.4)[0], loaded.predict_early(x, 0.4)[0], atol=1e-5
    )


def test_saved_inside_of_fit(tmp_path):
    """Keras looks at all properties when it saves, also while the weights are elsewhere."""
    made, (x, _) = trainer(), data()
    path = tmp_path / "{epoch}.weights.h5"
    saving = keras.callbacks.ModelCheckpoint(str(path), save_weights_only=True)
    fit(made, epochs=2, callbacks=[saving])
    after = {name: numpy(found) for name, found in made.scores(x).items()}
    again = trainer(seed=1)
    again.load_weights(tmp_path / "2.weights.h5")
    for name, found in again.scores(x).items():
        np.testing.assert_allclose(numpy(found), after[name], atol=1e-6)


def test_the_config_holds_all_arguments():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.1, 0.2])
    options = {
        "taps": ["stage2"],
        "temperature": 2.0,
        "soft_weight": schedule,
        "hint_weight": 0.5,
        "variant": "reference",
        "hint_tap": "stage3",
    }
    made = BeYourOwnTeacher(network(3), **options)
    config = json.loads(json.dumps(made.get_config()))
    again = BeYourOwnTeacher.from_config(config)
    for name, value in options.items():
        if name != "soft_weight":
            assert getattr(again, name) == value, name
    assert again.soft_weight.get_config() == schedule.get_config()
    assert list(again.classifiers) == ["final", "stage2"]


def test_two_runs_with_one_seed_are_one():
    ends = []
    for _ in range(2):
        made = trainer(seed=3)
        fit(made)
        ends.append(values(made.variables))
    assert equal(*ends)


def test_names_are_explicit():
    names = []
    for _ in range(2):
        made = trainer(variant="reference")
        parts = [*made.exits, *made.adapters]
        found = [layer.name for one in made.exits for layer in one.layers]
        names.append(found + [part.name for part in parts])
    assert names[0] == names[1]
    assert all(name.startswith("exit_stage1") for name in names[0])


@pytest.mark.parametrize(("given", "evaluated_first"), [(None, True), (["stage1"], False)])
def test_an_unbuilt_model_is_built_by_the_first_batch(given, evaluated_first):
    model = keras.Sequential(
        [
            keras.layers.Conv2D(3, 3, activation="relu", name="first"),
            keras.layers.MaxPooling2D(name="halved"),
            keras.layers.Conv2D(4, 3, activation="relu", name="second"),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dense(3, activation="softmax", name="head"),
        ],
        name="unbuilt",
    )
    made, (x, y) = trainer(model, taps=given), data()
    names = {f"{name}_accuracy" for name in ("final", "stage1", "ensemble")}
    if evaluated_first:
        assert names < set(made.evaluate(x, y, verbose=0, return_dict=True))
    logs = fit(made)
    assert names < set(logs)
    assert "stage1_hint" in logs
    found, _ = made.predict_early(x, 2.0)
    np.testing.assert_allclose(found, made.predict(x, verbose=0), atol=1e-5)


def test_a_model_of_open_size_has_exits():
    made = trainer(network(size=None))
    fit(made)
    for size in (9, 12):
        x = np.random.default_rng(0).random((4, size, size, 1)).astype("float32")
        found, _ = made.predict_early(x, 0.0)
        np.testing.assert_allclose(found, numpy(made.scores(x)["stage1"]), atol=1e-5)


def test_stages_may_be_vectors():
    model = applications.LeNet300100(classes=3, input_shape=(8, 8, 1))
    made, (x, y) = trainer(model), images()
    before = [values(one.trainable_variables) for one in made.exits]
    logs = fit(made, xy=(x, y))
    assert logs["stage1_hint"][0] > 0
    assert not equal(before[0], values(made.exits[0].trainable_variables))
    found, _ = made.predict_early(x, 0.0)
    np.testing.assert_allclose(found, numpy(made.scores(x)["stage1"]), atol=1e-5)


def test_exits_may_read_any_layer():
    made, (x, _) = trainer(stages=3, taps=["norm1", "stage2:pre"]), data()
    fit(made)
    assert list(made.classifiers) == ["final", "norm1", "stage2_pre"]
    np.testing.assert_allclose(
        numpy(made.classifiers["norm1"](x)), numpy(made.scores(x)["norm1"]), atol=1e-6
    )


@keras.saving.register_keras_serializable("kzoo_tests")
class Subclassed(keras.Model):
    """A network without a graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.trunk = [
            keras.layers.Conv2D(
                3 * stage, 3, strides=stage, padding="same", activation="relu", name=f"stage{stage}"
            )
            for stage in (1, 2)
        ]
        self.pooling = keras.layers.GlobalAveragePooling2D(name="pooled")
        self.head = keras.layers.Dense(3, activation="softmax", name="predictions")

    def call(self, x):
        for layer in self.trunk:
            x = layer(x)
        return self.head(self.pooling(x))


def test_what_cannot_be_cut_trains_and_says_that_its_exits_need_it(tmp_path):
    model, (x, y) = Subclassed(name="subclassed"), data()
    model(x)
    made = trainer(model)
    before = values(made.trainable_variables)
    logs = fit(made, validation_data=(x, y))
    assert logs["stage1_soft"][0] >= 0.0
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, values(made.trainable_variables), strict=True)
    ]
    assert np.mean(moved) > 0.8
    message = r"'subclassed' can be trained, but its exits .* Only a functional or Sequential"
    for use in (
        lambda: made.classifiers["stage1"],
        lambda: made.predict_early(x, 0.5),
        lambda: made.ensemble,
        lambda: made.export(tmp_path / "exit", exit="stage1"),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert made.classifiers["final"] is model


def test_mixed_precision_keeps_the_losses_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    made, (x, _) = trainer(network(), variant="reference"), data()
    assert made.exits[0].get_layer("exit_stage1_attention_conv1").compute_dtype == "float16"
    logs = fit(made, epochs=2)
    assert all(np.isfinite(value).all() for value in logs.values())
    found, _ = made.predict_early(x, 0.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, numpy(made.classifiers["stage1"](x)), atol=5e-3)


def test_a_frozen_network_has_trained_exits():
    model = network()
    model.trainable = False
    made = trainer(model)
    before = values(model.variables)
    fit(made)
    assert equal(values(model.variables), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"taps": ["stage1", "stage9"]}, "no tap or layer 'stage9'"),
        ({"taps": ["stage1", "stage1"]}, "'stage1' is in `taps` twice"),
        ({"taps": ["stage1", "stage3"]}, "'stage3' does not lie before the last stage"),
        ({"taps": ["pooled"]}, "'pooled' does not lie before the last stage"),
        ({"taps": ["stage2", "stage1"]}, "in order from the input to the output"),
        ({"taps": []}, "nothing to attach a classifier to"),
        ({"taps": [1]}, r"a list of names or None. Received: taps=\[1\]"),
        ({"temperature": 0.0}, "`temperature` must be a finite number > 0"),
        ({"soft_weight": 1.5}, "`soft_weight` must be a finite number >= 0 and <= 1"),
        ({"soft_weight": "a"}, "`soft_weight` must be a finite number"),
        ({"hint_weight": -1.0}, "`hint_weight` must be a number >= 0 or a schedule"),
        ({"variant": "code"}, r"`variant` must be one of \('paper', 'reference'\)"),
        ({"hint_tap": "nothing"}, "no tap or layer 'nothing'"),
    ],
)
def test_arguments_are_checked_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        BeYourOwnTeacher(network(3), **options)


def test_models_are_checked_at_once():
    with pytest.raises(ValueError, match=r"`model` must be a keras.Model. Received: model=3"):
        BeYourOwnTeacher(3)
    with pytest.raises(ValueError, match=r"nothing to attach .* has the stages \['stage1'\]"):
        BeYourOwnTeacher(network(stages=1))
    vectors = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="head")])
    with pytest.raises(ValueError, match="must be a classifier that has stages and one output"):
        BeYourOwnTeacher(vectors)
    model = network()
    twice = keras.Model(model.inputs, [model.output, model.get_layer("logits").output])
    with pytest.raises(ValueError, match="with 2 outputs"):
        BeYourOwnTeacher(twice)


def test_names_that_would_collide_are_refused():
    inputs = x = keras.Input((8, 8, 1))
    for name in ("a-b", "a_b", "final", "last"):
        x = keras.layers.Conv2D(2, 3, padding="same", activation="relu", name=name)(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x))
    for given in (["a-b", "a_b"], ["final"]):
        with pytest.raises(ValueError, match="Exits are named after their taps"):
            BeYourOwnTeacher(model, taps=given)
    made = BeYourOwnTeacher(model, taps=["a-b"])
    assert list(made.classifiers) == ["final", "a_b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": -0.1}, "`threshold` must be a finite number >= 0"),
        ({"threshold": 0.5, "batch_size": 0}, "`batch_size` must be an integer >= 1"),
    ],
)
def test_early_exits_check_their_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        trainer().predict_early(data()[0], **options)


def test_the_small_classifier_of_all_tests_has_one_exit():
    made = trainer(classifier("student"))
    fit(made, xy=images())
    assert list(made.classifiers) == ["final", "stage1"]
