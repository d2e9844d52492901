import keras
import numpy as np
import pytest
from keras import ops

from kzoo import taps
from kzoo.applications import DenseNet, DenseNetB, DenseNetBC, DenseNetC
from tests.helpers import random_array


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def statistics(model):
    return sum(int(np.prod(w.shape)) for w in model.non_trainable_weights)


def closed_form(depth, growth_rate, bottleneck, reduction, channels, classes):
    """Trainable parameters and the widths of what is normalised per layer, part by part."""
    k, c = growth_rate, 2 * growth_rate if bottleneck else 16
    count, normalized = 9 * channels * c, 0
    for block in range(3):
        for _ in range((depth - 4) // (6 if bottleneck else 3)):
            count += 2 * c + (4 * c * k + 8 * k + 36 * k * k if bottleneck else 9 * c * k)
            normalized += c + (4 * k if bottleneck else 0)
            c += k
        normalized += c
        if block < 2:
            count += 2 * c + c * int(reduction * c)
            c = int(reduction * c)
    return count + 2 * c + c * classes + classes, normalized


@pytest.mark.parametrize(
    ("constructor", "bottleneck", "reduction"),
    [
        (DenseNet, False, 1.0),
        (DenseNetB, True, 1.0),
        (DenseNetC, False, 0.5),
        (DenseNetBC, True, 0.5),
    ],
)
def test_every_form_has_the_parameters_of_the_closed_form(constructor, bottleneck, reduction):
    depth = 16
    expected, normalized = closed_form(depth, 8, bottleneck, reduction, 2, 7)
    arguments = {"depth": depth, "growth_rate": 8, "classes": 7, "input_shape": (9, 12, 2)}
    shared = constructor(**arguments)
    per_layer = constructor(**arguments, normalization="per_layer")
    assert trainable(shared) == trainable(per_layer) == expected
    assert statistics(per_layer) == 2 * normalized
    assert statistics(shared) < statistics(per_layer)
    assert [w.path for w in shared.trainable_weights] == [
        w.path for w in per_layer.trainable_weights
    ]


@pytest.mark.parametrize(
    ("constructor", "arguments", "statistics_published"),
    [(DenseNet, {}, 18_096), (DenseNetBC, {}, 23_988), (DenseNetBC, {"depth": 40}, 5_088)],
)
def test_published_number_of_statistics(constructor, arguments, statistics_published):
    assert statistics(constructor(**arguments, normalization="per_layer")) == statistics_published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("constructor", "depth", "growth_rate", "channels", "published"),
    [
        (DenseNet, 100, 12, 3, 6_979_642),
        (DenseNet, 100, 12, 1, 6_979_354),
        (DenseNet, 100, 24, 3, 27_249_082),
        (DenseNet, 100, 24, 1, 27_248_794),
        (DenseNetBC, 250, 24, 3, 15_324_406),
        (DenseNetBC, 250, 24, 1, 15_323_542),
        (DenseNetBC, 190, 40, 3, 25_624_430),
        (DenseNetBC, 190, 40, 1, 25_622_990),
    ],
)
def test_published_parameters_of_large_models(constructor, depth, growth_rate, channels, published):
    model = constructor(depth, growth_rate, input_shape=(32, 32, channels))
    assert trainable(model) == published


def test_taps_are_the_raw_maps_of_each_block_in_both_forms():
    x = random_array(2, 12, 9, 3)
    models = [
        DenseNetBC(16, 4, input_shape=(12, 9, 3), normalization=form, name="model")
        for form in ("shared", "per_layer")
    ]
    for a, b in zip(*(m.trainable_weights for m in models), strict=True):
        assert a.path == b.path
        b.assign(a)
    found = [taps.extractor(m, ["stem", "stage1", "stage2", "stage3", "logits"])(x) for m in models]
    assert [tuple(v.shape) for v in found[0].values()][:4] == [
        (2, 12, 9, 8),
        (2, 12, 9, 16),
        (2, 6, 4, 16),
        (2, 3, 2, 16),
    ]
    for name, value in found[0].items():
        np.testing.assert_allclose(
            *(ops.convert_to_numpy(v) for v in (value, found[1][name])), atol=1e-5
        )
    stem, stage = (ops.convert_to_numpy(found[0][name]) for name in ("stem", "stage1"))
    np.testing.assert_array_equal(stage[..., :8], stem)


def test_logits_are_the_mean_of_the_class_activation_map():
    model = DenseNetBC(10, 4, input_shape=(16, 16, 3), classifier_activation=None)
    x = random_array(2, 16, 16, 3)
    features = keras.Model(model.input, model.get_layer("final_relu").output)(x)
    kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer("logits").weights)
    maps = ops.convert_to_numpy(features) @ kernel
    np.testing.assert_allclose(maps.mean((1, 2)) + bias, ops.convert_to_numpy(model(x)), atol=1e-5)


@pytest.mark.parametrize(
    ("normalization", "memory_efficient"), [("shared", True), ("per_layer", False)]
)
def test_learns_a_batch(normalization, memory_efficient):
    model = DenseNetBC(
        10,
        6,
        normalization=normalization,
        memory_efficient=memory_efficient,
        input_shape=(8, 8, 1),
        classes=2,
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    labels = np.arange(8) % 2
    x = 0.3 * random_array(8, 8, 8, 1) + labels[:, None, None, None]
    losses = model.fit(x, labels, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.slow
def test_the_small_recorded_architecture_trains():
    model = DenseNetBC(depth=22, growth_rate=12, input_shape=(28, 28, 1))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    labels = np.arange(16) % 10
    x = random_array(16, 28, 28, 1)
    losses = model.fit(x, labels, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("constructor", "depth", "form"),
    [
        (DenseNet, 41, "3 n"),
        (DenseNetBC, 101, "6 n"),
        (DenseNetBC, 4, "6 n"),
        (DenseNetB, 40.0, "6 n"),
    ],
)
def test_impossible_depths_are_refused(constructor, depth, form):
    with pytest.raises(ValueError, match=rf"{form} \+ 4 .* Received: depth={depth}"):
        constructor(depth)


def test_wrong_growth_rate_is_refused():
    with pytest.raises(ValueError, match="growth_rate=0"):
        DenseNetBC(10, growth_rate=0)


def test_small_images_are_refused_by_name():
    with pytest.raises(ValueError, match="8x8"):
        DenseNetBC(10, input_shape=(32, 7, 3))
