import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kzoo.callbacks import FilterGrafting, ResumableCheckpoint
from kzoo.callbacks._filters import kernels_of, weights_of
from kzoo.callbacks._grafting import entropy
from kzoo.layers import HighwayConv2D
from tests.callbacks.side_by_side import fit, trainer
from tests.callbacks.test_resumable_checkpoint import ROOT, state
from tests.trainers.models import classifier, equal, values

LAYERS = {"conv1": "conv1", "norm1": "conv1", "conv2": "conv2", "norm2": "conv2", "logits": "conv2"}


def networks(count=2, make=classifier):
    """Networks that differ in every weight, statistics too."""
    generator = np.random.default_rng(0)
    made = [make(f"net{number}") for number in range(1, count + 1)]
    for model in made:
        model.set_weights(
            [np.abs(generator.standard_normal(w.shape)) + 0.1 for w in model.get_weights()]
        )
    return made


def weights(model, layer):
    return [w.astype("float64") for w in model.get_layer(layer).get_weights()]


def information(kernel, exact=True):
    """The entropy, counted bin by bin."""
    kernel = kernel.ravel()
    low, width = kernel.min(), (kernel.max() - kernel.min()) / 10
    total = 0.0
    for i in range(10):
        inside = (kernel >= low + i * width) & (kernel < low + (i + 1) * width)
        count = inside.sum() + (exact and i == 9 and (kernel == kernel.max()).sum())
        if count:
            total -= count / kernel.size * math.log(count / kernel.size)
    return total


def share(own, other, exact=True):
    difference = information(own, exact) - information(other, exact)
    found = 0.4 / math.pi * math.atan(500.0 * difference) + 0.5
    return found if exact else round(found, 2)


def check_blended(model, layer, own, other, w):
    for found, a, b in zip(weights(model, layer), own[layer], other[layer], strict=True):
        np.testing.assert_allclose(found, w * a + (1 - w) * b, rtol=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_entropy(exact):
    values = np.random.default_rng(1).standard_normal(500)
    assert entropy(values, 10, exact) == pytest.approx(information(values, exact), abs=1e-12)
    assert entropy(np.full((3, 3), 0.7), 10, exact) == 0.0


def test_the_maximum_is_counted():
    grid = np.arange(10.0)
    assert entropy(grid) == pytest.approx(math.log(10))
    assert entropy(grid, with_maximum=False) == pytest.approx(0.9 * math.log(10))
    assert entropy(np.array([0.0, 1.0]), 4) == pytest.approx(math.log(2))


@pytest.mark.parametrize("variant", ["paper", "reference"])
@pytest.mark.parametrize("count", [2, 3])
def test_layers_in_a_ring(variant, count):
    models, exact = networks(count), variant == "paper"
    before = [{layer: weights(model, layer) for layer in LAYERS} for model in models]
    callback = FilterGrafting(models, variant=variant)
    means = callback.graft()
    for i, model in enumerate(models):
        w = {k: share(before[i][k][0], before[i - 1][k][0], exact) for k in ("conv1", "conv2")}
        assert all(0.3 <= value <= 0.7 for value in w.values())
        for layer, conv in LAYERS.items():
            check_blended(model, layer, before[i], before[i - 1], w[conv])
        kept = callback.history[model.name]
        assert kept == {f"{k}/kernel": [pytest.approx(v, abs=1e-6)] for k, v in w.items()}
        assert means[model.name] == pytest.approx(np.mean(list(w.values())))


def test_what_two_networks_keep_sums_to_one():
    callback = FilterGrafting(networks(), scale=1.0)
    callback.graft()
    first, second = callback.history.values()
    assert first["conv1/kernel"][0] != 0.5
    for path, (w,) in first.items():
        assert w + second[path][0] == pytest.approx(1.0)


def test_information_wins():
    full, empty = networks()
    kernel = full.get_layer("conv1").kernel
    kernel.assign(np.linspace(-1, 1, math.prod(kernel.shape)).reshape(kernel.shape))
    empty.get_layer("conv1").kernel.assign(np.ones(kernel.shape))
    callback = FilterGrafting([full, empty])
    callback.graft()
    assert callback.history["net1"]["conv1/kernel"][0] == pytest.approx(0.7, abs=1e-3)
    assert callback.history["net2"]["conv1/kernel"][0] == pytest.approx(0.3, abs=1e-3)


def test_amplitude_zero_is_the_mean():
    models = networks()
    expected = [(a + b) / 2 for a, b in zip(*(m.get_weights() for m in models), strict=True)]
    FilterGrafting(models, amplitude=0.0).graft()
    for model in models:
        for found, value in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-6)


@pytest.mark.parametrize("level", ["layer", "filter"])
@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_equal_networks_do_not_change(level, variant):
    first, second = networks()
    second.set_weights(first.get_weights())
    before = values(first.weights)
    callback = FilterGrafting([first, second], level=level, variant=variant)
    callback.graft()
    assert equal(values(first.weights), before)
    assert equal(values(second.weights), before)
    np.testing.assert_array_equal(callback.history["net1"]["conv2/kernel"][0], 0.5)


def test_filters():
    models = networks(3)
    before = [{layer: weights(model, layer) for layer in LAYERS} for model in models]
    callback = FilterGrafting(models, level="filter")
    callback.graft()
    for i, model in enumerate(models):
        own, other = before[i], before[i - 1]
        for conv, norm, size in (("conv1", "norm1", 2), ("conv2", "norm2", 4)):
            w = np.array([share(own[conv][0][..., f], other[conv][0][..., f]) for f in range(size)])
            for layer in (conv, norm):
                for found, a, b in zip(
                    weights(model, layer), own[layer], other[layer], strict=True
                ):
                    np.testing.assert_allclose(found, w * a + (1 - w) * b, rtol=1e-6)
            np.testing.assert_allclose(callback.history[model.name][f"{conv}/kernel"][0], w)
        mean = w.mean()
        for found, a, b in zip(
            weights(model, "logits"), own["logits"], other["logits"], strict=True
        ):
            np.testing.assert_allclose(found, mean * a + (1 - mean) * b, rtol=1e-6)


def test_filters_as_in_the_authors_code():
    models = networks()
    old = [{layer: weights(model, layer) for layer in LAYERS} for model in models]
    FilterGrafting(models, level="filter", variant="reference").graft()
    for i, model in enumerate(models):
        own, other = old[i], old[i - 1]
        shares = []
        for norm in ("norm1", "norm2"):
            blended = [value.copy() for value in own[norm]]
            shares.append(own[norm][0] / (own[norm][0] + other[norm][0]))
            for w in shares[-1]:
                blended = [w * a + (1 - w) * b for a, b in zip(blended, other[norm], strict=True)]
            for found, expected in zip(weights(model, norm), blended, strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-5)
        kernel = own["conv2"][0].copy()
        for j, w in enumerate(shares[0]):
            kernel[..., j, :] = w * kernel[..., j, :] + (1 - w) * other["conv2"][0][..., j, :]
        for j, w in enumerate(shares[1]):
            kernel[..., j] = w * kernel[..., j] + (1 - w) * other["conv2"][0][..., j]
        np.testing.assert_allclose(weights(model, "conv2")[0], kernel, rtol=1e-5)
        np.testing.assert_array_equal(weights(model, "conv2")[1], own["conv2"][1])
        np.testing.assert_array_equal(weights(model, "logits")[0], own["logits"][0])


def test_scales_of_zero_share_alike():
    models = networks()
    for model in models:
        model.get_layer("norm1").gamma.assign(np.zeros(2))
    callback = FilterGrafting(models, level="filter", variant="reference")
    callback.graft()
    np.testing.assert_array_equal(callback.history["net1"]["conv1/kernel"][0], [0.5, 0.5])
    assert all(np.isfinite(w).all() for model in models for w in model.get_weights())


def test_branches_go_with_their_own_convolution():
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization(name="first_norm")(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(x)
    main = keras.layers.Conv2D(4, 3, padding="same", name="main")(x)
    short = keras.layers.Conv2D(4, 1, name="short")(x)
    main = keras.layers.BatchNormalization(name="main_norm")(main)
    short = keras.layers.BatchNormalization(name="short_norm")(short)
    x = keras.layers.PReLU(shared_axes=[1, 2], name="prelu")(keras.layers.Add()([short, main]))
    model = keras.Model(inputs, keras.layers.Dense(3, name="top")(x))
    found = weights_of(model)
    kernels = kernels_of(found)
    last = kernels[-1].layer.name
    assert kernels[0].layer.name == "stem"
    assert [kernel.reads for kernel in kernels] == [None, 0, 0]
    assert {w.layer.name: kernels[w.kernel or 0].layer.name for w in found} == {
        "first_norm": "stem",
        "stem": "stem",
        "main": "main",
        "short": "short",
        "main_norm": "main",
        "short_norm": "short",
        "prelu": last,
        "top": last,
    }
    assert {w.layer.name for w in found if not w.axes} == {"first_norm", "top"}


def test_kernels_of_every_kind_and_of_nested_models():
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.SeparableConv2D(6, 3, name="separable"),
        ],
        name="inner",
    )
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 1, name="conv")(inputs)
    x = HighwayConv2D(3, name="highway")(x)
    x = keras.layers.Conv2DTranspose(5, 3, name="back")(inner(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="top")(x))
    kernels = kernels_of(weights_of(model))
    assert [(k.layer.name, k.variable.name, k.axes) for k in kernels[-4:]] == [
        ("depthwise", "kernel", (-2, -1)),
        ("separable", "depthwise_kernel", (-2, -1)),
        ("separable", "pointwise_kernel", (-1,)),
        ("back", "kernel", (-2,)),
    ]
    assert len(kernels) == 7  # and conv, and the two of the highway
    seen = [weight.variable for weight in weights_of(model)]
    assert {id(v) for v in seen} == {id(v) for v in model.weights}
    assert len(seen) == len(model.weights)

    first, second = model, keras.models.clone_model(model)
    callback = FilterGrafting([first, second], level="filter")
    before = [values(m.weights) for m in (first, second)]
    callback.graft()
    sizes = [w[0].size for w in next(iter(callback.history.values())).values()]
    assert sizes[-4:] == [8, 48 // 6, 6, 5]
    own, other = (dict(zip([v.path for v in first.weights], b, strict=True)) for b in before)
    path = next(v.path for v in first.weights if v.path.endswith("depthwise/kernel"))
    w = share(own[path][..., 3, 1].astype("float64"), other[path][..., 3, 1].astype("float64"))
    found = dict(zip([v.path for v in first.weights], values(first.weights), strict=True))[path]
    expected = w * own[path][..., 3, 1] + (1 - w) * other[path][..., 3, 1]
    np.testing.assert_allclose(found[..., 3, 1], expected, rtol=1e-5)


def test_in_fit_of_networks_side_by_side():
    made = trainer()
    slots = {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            key = "after" if "before" in slots else "before"
            slots[key] = values(self.model.optimizer.variables)
            slots[f"{key}_weights"] = made.models[0].get_weights()

    callback = FilterGrafting()
    history = fit(made, [Watch(), callback, Watch()], epochs=1).history
    assert equal(slots["before"], slots["after"])
    assert not equal(slots["before_weights"], slots["after_weights"])
    for name in ("net1", "net2"):
        logged = history[f"{name}_grafting_weight"][0]
        assert logged == pytest.approx(np.mean([w[0] for w in callback.history[name].values()]))
        assert 0.3 <= logged <= 0.7


def test_next_epoch_starts_from_what_was_grafted():
    """With the learning rate 0 only grafting moves the weights."""
    made = trainer()
    made.optimizer.learning_rate = 0.0
    before = [values(model.trainable_weights) for model in made.models]
    fit(made, [FilterGrafting(amplitude=0.0)], epochs=2)
    for model in made.models:
        for found, a, b in zip(values(model.trainable_weights), *before, strict=True):
            np.testing.assert_allclose(found, (a + b) / 2, rtol=1e-6, atol=1e-8)


def test_history_grows_over_epochs_and_names_are_told_apart():
    made = [classifier("same"), classifier("same")]
    callback = FilterGrafting(made)
    for epoch in range(3):
        callback.on_epoch_end(epoch, {})
    assert list(callback.history) == ["same_1", "same_2"]
    assert len(callback.history["same_1"]["conv1/kernel"]) == 3


@pytest.mark.parametrize("first", [True, False])
def test_the_checkpoint_comes_after_the_grafting(tmp_path, first):
    def callbacks(folder):
        checkpoint = ResumableCheckpoint(tmp_path / folder)
        both = [FilterGrafting(), checkpoint]
        return checkpoint, both if first else both[::-1]

    whole = trainer()
    fit(whole, callbacks("whole")[1], 2)
    fit(trainer(), callbacks("part")[1], 1)
    again = trainer()
    checkpoint, both = callbacks("part")
    assert checkpoint.restore(again) == 1
    fit(again, both, 2, first=1)
    assert equal(state(again), state(whole)) == first


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    """Grafting, snapshots and checkpoints together."""

    def run(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "tests.callbacks.side_by_side", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole = run(tmp_path / "whole", tmp_path / "whole.npz")
    killed = run(tmp_path / "killed", tmp_path / "killed.npz", 2, 1)
    assert whole.wait() == 0, whole.stderr.read()
    assert killed.wait() == -9
    assert not (tmp_path / "killed.npz").exists()
    resumed = run(tmp_path / "killed", tmp_path / "killed.npz")
    assert resumed.wait() == 0, resumed.stderr.read()
    with np.load(tmp_path / "whole.npz") as a, np.load(tmp_path / "killed.npz") as b:
        assert a.files == b.files
        assert {"net1_grafting_weight", "learning_rate"} <= set(a.files)
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


def test_networks_with_nan_are_left_alone(capsys):
    models = networks()
    models[1].get_layer("conv2").bias.assign(np.full(4, np.nan))
    before = [model.get_weights() for model in models]
    callback, logs = FilterGrafting(models), {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    assert "Nothing was grafted" in capsys.readouterr().err
    assert logs == {"loss": 1.0}
    assert equal(models[0].get_weights(), before[0])
    assert callback.history == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "kernel"}, "`level` must be one of"),
        ({"variant": "code"}, "`variant` must be one of"),
        ({"amplitude": 1.5}, "`amplitude` must be a finite number >= 0 and <= 1"),
        ({"scale": 0}, "`scale` must be a finite number > 0"),
        ({"bins": 1}, "`bins` must be an integer >= 2"),
        ({"models": [1, 2]}, "`models` must be a list of two or more"),
        ({"models": []}, "`models` must be a list of two or more"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FilterGrafting(**arguments)


def dense(name):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name=name)


def unbuilt(name):
    return keras.Sequential([keras.layers.Conv2D(2, 3)], name=name)


def separate(name):
    layers = [keras.layers.SeparableConv2D(2, 3, name="odd"), keras.layers.BatchNormalization()]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers], name=name)


def test_networks_that_cannot_be_grafted():
    def graft(first, second, **options):
        FilterGrafting([first, second], **options).graft()

    with pytest.raises(
        ValueError, match=r"'a' and 'b' differ first at conv1/kernel .*2\) and conv1/kernel .*3\)"
    ):
        graft(classifier("a"), classifier("b", filters=3))
    with pytest.raises(ValueError, match=r"first at norm1/gamma \(2,\) and conv2/kernel"):
        graft(classifier("a"), classifier("b", statistics=False))
    longer = classifier("b")
    longer = keras.Model(longer.input, keras.layers.Dense(3, name="extra")(longer.output), name="b")
    with pytest.raises(ValueError, match=r"differ first at the end and extra/kernel \(3, 3\)"):
        graft(classifier("a"), longer)
    with pytest.raises(ValueError, match=r"differ first at extra/kernel \(3, 3\) and the end"):
        graft(longer, classifier("a"))
    with pytest.raises(ValueError, match="'a' has none"):
        graft(dense("a"), dense("b"))
    with pytest.raises(ValueError, match="'a' is not built"):
        graft(unbuilt("a"), unbuilt("b"))
    same = classifier("a")
    with pytest.raises(ValueError, match="'a_1' and 'a_2' share the weight conv1/kernel"):
        graft(same, same)
    with pytest.raises(ValueError, match=r"'odd' does not fit\. Use variant='paper'"):
        graft(separate("a"), separate("b"), level="filter", variant="reference")
    plain = [classifier(name, statistics=False) for name in "ab"]
    with pytest.raises(ValueError, match="'conv1' does not fit"):
        graft(*plain, level="filter", variant="reference")


def test_a_model_without_networks():
    model = classifier("alone")
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"Functional has no `models`\. Give them"):
        fit(model, [FilterGrafting()], epochs=1)
