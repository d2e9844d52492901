import math

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.layers import DropBlock2D
from kzoo.testing.subjects import numpy
from tests.helpers import random_array

ON_JAX = keras.backend.backend() == "jax"


def covering(size, block):
    """For each position of one dimension: how many places of a block cover it."""
    block = min(block, size)
    cover = np.zeros(size)
    for start in range(size - block + 1):
        cover[start : start + block] += 1
    return cover


def drop_probability(height, width, block, rate):
    """P(i, j) = 1 - (1 - gamma)^(a_i c_j), with the paper's gamma."""
    a, c = covering(height, block[0]), covering(width, block[1])
    b_h, b_w = min(block[0], height), min(block[1], width)
    places = (height - b_h + 1) * (width - b_w + 1)
    gamma = rate * height * width / (b_h * b_w * places)
    return 1 - (1 - gamma) ** np.outer(a, c)


def dropped(layer, shape):
    """Where a training call gives zeros."""
    y = layer(np.ones(shape, "float32"), training=True)
    return numpy(ops.cast(y, "float32")) == 0


def test_published_figures():
    drop = drop_probability(14, 14, (7, 7), 0.1)
    assert drop.mean() == pytest.approx(0.0929, abs=5e-5)
    assert drop[0, 0] == pytest.approx(0.0062, abs=5e-5)
    assert drop.max() == pytest.approx(0.2645, abs=5e-5)
    assert drop_probability(7, 7, (7, 7), 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("height", "width", "block_size", "rate", "dtype"),
    [
        (14, 14, 7, 0.1, "float32"),
        (14, 14, 7, 0.02, "mixed_float16"),
        (7, 7, 7, 0.1, "float32"),
        (8, 11, 4, 0.25, "float32"),
        (11, 6, (2, 5), 0.25, "float32"),
        (5, 9, (8, 3), 0.3, "float32"),
        (4, 3, 6, 0.3, "mixed_bfloat16"),
        (5, 6, 1, 0.3, "float32"),
    ],
)
def test_drop_probability_of_each_position(height, width, block_size, rate, dtype):
    block = block_size if isinstance(block_size, tuple) else (block_size, block_size)
    layer = DropBlock2D(rate, block_size, seed=1, dtype=dtype)
    calls = [dropped(layer, (64, height, width, 128)) for _ in range(4)]
    count = 4 * 64 * 128
    found = np.mean(calls, axis=(0, 1, 4))
    expected = drop_probability(height, width, block, rate)
    error = np.sqrt(expected * (1 - expected) / count)
    assert np.max(np.abs(found - expected) / error) < 5


@pytest.mark.parametrize("block", [(3, 3), (2, 4), (1, 1)])
def test_what_is_dropped_is_a_union_of_whole_blocks(block):
    mask = dropped(DropBlock2D(0.4, block, seed=2), (16, 9, 7, 4))
    windows = np.lib.stride_tricks.sliding_window_view(mask, block, axis=(1, 2))
    union = np.zeros_like(mask)
    for n, i, j, c in np.argwhere(windows.all(axis=(-2, -1))):
        union[n, i : i + block[0], j : j + block[1], c] = True
    assert mask.any()
    assert np.array_equal(union, mask)


def test_channels_share_blocks_only_when_asked():
    shared = dropped(DropBlock2D(0.3, 3, per_channel=False, seed=3), (8, 9, 7, 5))
    assert shared.any()
    assert np.all(shared == shared[..., :1])
    own = dropped(DropBlock2D(0.3, 3, seed=3), (8, 9, 7, 5))
    assert np.any(own != own[..., :1])


def test_a_block_as_large_as_the_map_drops_channels():
    mask = dropped(DropBlock2D(0.3, 50, seed=4), (16, 5, 7, 8))
    assert np.all(mask == mask[:, :1, :1])
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("mixed_float16", 1e-3)])
def test_the_mean_of_the_mask_is_one(dtype, tolerance):
    layer = DropBlock2D(0.3, 3, seed=5, dtype=dtype)
    y = numpy(layer(np.ones((8, 9, 7, 5), "float32"), training=True))
    assert y.mean(dtype="float64") == pytest.approx(1.0, rel=tolerance)
    assert len(np.unique(y)) == 2


def test_everything_dropped_gives_zeros():
    layer, x = DropBlock2D(0.999, 3, seed=6), np.ones((1, 3, 3, 1), "float32")
    draws = [numpy(layer(x, training=True)) for _ in range(5)]
    assert all(np.all(np.isfinite(y)) for y in draws)
    assert any(np.all(y == 0) for y in draws)


def test_rate_zero_is_the_identity():
    x = random_array(2, 5, 6, 3)
    assert np.array_equal(numpy(DropBlock2D(0, 3)(x, training=True)), x)


def test_channels_first_is_the_same_transposed():
    x = random_array(2, 9, 7, 3)
    last = DropBlock2D(0.3, (2, 3), seed=7)(x, training=True)
    first = DropBlock2D(0.3, (2, 3), seed=7, data_format="channels_first")(
        x.transpose(0, 3, 1, 2), training=True
    )
    moved = numpy(first).transpose(0, 2, 3, 1)
    assert np.array_equal(moved, numpy(last))


def scheduled(traces, rate=0.0):
    """A compiled model that reports the fraction its DropBlock2D drops."""

    def dropped_fraction(target, output):
        traces.append(1)
        return ops.mean(ops.cast(output == 0, "float32"))

    inputs = keras.Input((9, 7, 4))
    block = DropBlock2D(rate, 3, seed=8, name="block")
    x = keras.layers.DepthwiseConv2D(1, depthwise_initializer="ones", name="scale")(inputs)
    model = keras.Model(inputs, block(x))
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[dropped_fraction])
    return model, block


@pytest.mark.parametrize("when", ["epoch", "batch"])
def test_the_rate_can_be_scheduled_in_a_compiled_model(when):
    traces, rates = [], [0.0, 0.5, 0.0, 0.1]
    model, block = scheduled(traces)
    counts = []

    def assign(index, logs=None):
        counts.append(len(traces))
        if ON_JAX:
            model.jax_state_sync()
        block.rate = rates[index]

    found = []
    callback = keras.callbacks.LambdaCallback(
        **{
            f"on_{when}_begin" if when == "epoch" else "on_train_batch_begin": assign,
            "on_train_batch_end": lambda batch, logs: found.append(logs["dropped_fraction"]),
        }
    )
    steps = 1 if when == "epoch" else len(rates)
    x = np.ones((8 * steps, 9, 7, 4), "float32")
    model.fit(x, x, 8, epochs=len(rates) // steps, verbose=0, shuffle=False, callbacks=[callback])
    if when == "batch":  # logs hold the mean since the start of the epoch
        found = np.diff([0.0, *(f * (i + 1) for i, f in enumerate(found))])
    expected = [drop_probability(9, 7, (3, 3), rate).mean() for rate in rates]
    assert found == pytest.approx(expected, abs=0.06)
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[2] == pytest.approx(0, abs=1e-6)
    if keras.backend.backend() != "torch":
        assert counts[1] == len(traces)  # traced for the first step only


def test_the_current_rate_is_in_the_config_and_not_in_weight_files(tmp_path):
    model, block = scheduled([], rate=0.1)
    block.rate = 0.25
    assert block.get_config()["rate"] == 0.25
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert loaded.get_layer("block").rate == 0.25
    assert np.isclose(loaded.get_layer("block").variables[0], 0.25)

    model.save_weights(tmp_path / "model.weights.h5")
    other, block = scheduled([], rate=0.4)
    other.load_weights(tmp_path / "model.weights.h5")
    assert block.rate == 0.4
    assert np.isclose(block.variables[0], 0.4)


def test_weight_files_do_not_care_whether_the_layer_is_there(tmp_path):
    inputs = keras.Input((9, 7, 4))
    plain = keras.Model(inputs, keras.layers.DepthwiseConv2D(1, name="scale")(inputs))
    plain.save_weights(tmp_path / "plain.weights.h5")
    x = keras.layers.DepthwiseConv2D(1, name="scale")(inputs)
    model = keras.Model(inputs, DropBlock2D(0.1, name="block")(x))
    model.load_weights(tmp_path / "plain.weights.h5")
    wanted = plain.get_layer("scale").get_weights()
    assert all(map(np.array_equal, model.get_layer("scale").get_weights(), wanted))
    model.save_weights(tmp_path / "model.weights.h5")
    plain.load_weights(tmp_path / "model.weights.h5")


def test_the_property_follows_the_variable():
    layer = DropBlock2D(0.1)
    layer.rate = 0.3  # before there is a variable
    layer.build((None, 9, 9, 2))
    assert layer.rate == 0.3
    assert not layer.trainable_weights
    layer.set_weights([np.float32(0.2)])
    assert layer.rate == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"`rate` must be a number in \[0, 1\)"):
        layer.rate = 1.0
    assert layer.rate == pytest.approx(0.2)


@pytest.mark.tensorflow
@pytest.mark.parametrize("size", [(9, 7), (2, 7), (9, 3), (1, 2)])
def test_unknown_sizes_in_a_graph_give_the_same_blocks(size):
    import tensorflow as tf

    layer = DropBlock2D(0.3, (4, 3), seed=9)
    layer.build((None, None, None, 3))
    signature = [tf.TensorSpec((None, None, None, 3))]
    graph = tf.function(lambda x: layer(x, training=True), input_signature=signature)
    x = random_array(8, *size, 3)
    y = graph(x)
    twin = DropBlock2D(0.3, (4, 3), seed=9)
    assert y.shape == x.shape
    assert np.allclose(y, twin(x, training=True), atol=1e-6)
    assert math.isclose(float(ops.mean(graph(np.ones_like(x)))), 1.0, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.0}, r"`rate` must be a number in \[0, 1\)"),
        ({"rate": -0.1}, r"`rate` must be a number in \[0, 1\)"),
        ({"rate": 0.1, "block_size": 0}, "`block_size` must be a positive integer or two"),
        ({"rate": 0.1, "block_size": (3, 3, 3)}, "`block_size` must be a positive integer or two"),
        ({"rate": 0.1, "data_format": "NCHW"}, "`data_format` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DropBlock2D(**arguments)


def test_maps_only():
    with pytest.raises(ValueError, match="expected ndim=4"):
        DropBlock2D(0.1)(np.ones((2, 3), "float32"))
