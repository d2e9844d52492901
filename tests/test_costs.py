import keras
import numpy as np
import pytest

from kzoo import applications, costs, layers
from tests.examples import run_example
from tests.helpers import random_array


def count(*parts, shape=(9, 7, 4)):
    return costs.multiply_adds(keras.Sequential([keras.Input(shape), *parts]))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.Conv2D(6, 3), 7 * 5 * 3 * 3 * 4 * 6),
        (keras.layers.Conv2D(6, 3, padding="same"), 9 * 7 * 3 * 3 * 4 * 6),
        (keras.layers.Conv2D(6, 3, strides=2, padding="same"), 5 * 4 * 3 * 3 * 4 * 6),
        (keras.layers.Conv2D(6, (1, 5), groups=2, use_bias=False), 9 * 3 * 5 * 2 * 6),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), 7 * 5 * 3 * 3 * 4 * 2),
        (keras.layers.SeparableConv2D(6, 3), 7 * 5 * (3 * 3 * 4 + 4 * 6)),
        (keras.layers.Conv2DTranspose(6, 3, strides=2), 9 * 7 * 3 * 3 * 4 * 6),
        (keras.layers.Dense(5), 9 * 7 * 4 * 5),
        (layers.HighwayConv2D(3), 2 * 9 * 7 * 3 * 3 * 4 * 4),
        (layers.DenseBlock(2, 5), 63 * (4 * 20 + 9 * 20 * 5 + 9 * 20 + 9 * 20 * 5)),
        (keras.layers.BatchNormalization(), 0),
        (layers.PReLU(), 0),
    ],
    ids=lambda value: value.name if isinstance(value, keras.Layer) else str(value),
)
def test_one_layer_by_hand(layer, expected):
    assert count(layer) == expected


@pytest.mark.parametrize("function", [costs.multiply_adds, costs.latency])
def test_the_examples_run(function):
    run_example(function)


def test_lenet_by_hand():
    """LeNet-5 at 32x32: 28*28*25*6 + 10*10*150*16 + 400*120 + 120*84 + 84*10."""
    parts = [
        keras.layers.Conv2D(6, 5, activation="tanh"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Conv2D(16, 5, activation="tanh"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(120),
        keras.layers.Dense(84),
        keras.layers.Dense(10),
    ]
    assert count(*parts, shape=(32, 32, 1)) == 117_600 + 240_000 + 48_000 + 10_080 + 840


def test_shared_and_nested_parts_count_at_each_call():
    shared = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    x = keras.Input((3,))
    model = keras.Model(x, shared(shared(keras.layers.Dense(3)(x))))
    assert costs.multiply_adds(model) == 3 * 9
    assert costs.multiply_adds(shared) == 9


def test_counting_leaves_the_model_as_it_was():
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(), dense])
    x = random_array(2, 3)
    before, weights = model(x), model.get_weights()
    costs.multiply_adds(model)
    assert "call" not in vars(dense)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(model(x)), keras.ops.convert_to_numpy(before)
    )
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("shortcut", "extra"), [("A", 0), ("B", 2 * 131_072)])
def test_resnet20_has_the_published_number(shortcut, extra):
    """40.8 M multiply-adds with projections as shortcuts (B), by hand for both."""
    stem, head = 32 * 32 * 27 * 16, 64 * 10
    first = 6 * 32 * 32 * 9 * 16 * 16
    second = 16 * 16 * 9 * (16 * 32 + 5 * 32 * 32)
    third = 8 * 8 * 9 * (32 * 64 + 5 * 64 * 64)
    model = applications.ResNet(depth=20, shortcut=shortcut, input_shape=(32, 32, 3))
    assert costs.multiply_adds(model) == stem + first + second + third + head + extra


@pytest.mark.slow
def test_densenet121_has_the_published_number():
    """2.83 G multiply-adds at 224x224 (2.88 G in tables that count more than products)."""
    model = keras.applications.DenseNet121(weights=None)
    assert costs.multiply_adds(model) == 2_834_161_664


def test_free_sizes_need_a_size():
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match="`input_shape` is needed"):
        costs.multiply_adds(model)
    assert costs.multiply_adds(model, (5, 4, 1)) == 3 * 2 * 9 * 2


def test_a_layer_without_a_rule_is_named():
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.SimpleRNN(2, name="memory")])
    with pytest.raises(ValueError, match=r"no rule .* SimpleRNNCell 'simple_rnn_cell'"):
        costs.multiply_adds(model)


def test_latency_is_the_median_of_the_calls_after_the_first_three(monkeypatch):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    seen = []
    monkeypatch.setattr(model, "predict_on_batch", lambda x: seen.append(x.shape))
    durations = iter([9, 9, 9, 0.004, 0.002, 0.003])
    clock = [0.0, 0]

    def perf_counter():
        clock[1] += 1
        if clock[1] % 2 == 0:
            clock[0] += next(durations)
        return clock[0]

    monkeypatch.setattr(costs.time, "perf_counter", perf_counter)
    assert costs.latency(model, batch_size=4, repeats=3) == pytest.approx(3.0)
    assert seen == [(4, 3)] * 6


def test_latency_runs_the_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert costs.latency(model, repeats=2) > 0


def test_file_size(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"4567")
    assert costs.file_size(tmp_path / "a") == 3
    assert costs.file_size(tmp_path) == 7
    with pytest.raises(FileNotFoundError):
        costs.file_size(tmp_path / "none")
