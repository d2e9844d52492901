import keras
import numpy as np
import pytest
from keras import ops

from kzoo.layers import DenseBlock
from kzoo.layers._fast_ops import batch_normalize, convolve
from tests.helpers import random_array, value_and_gradients

# JAX has no float64 by default, and Keras normalises in float32 on torch.
EXACT = "float64" if keras.backend.backend() == "tensorflow" else "float32"
TOLERANCE = 2e-4 if EXACT == "float32" else 1e-11
SHAPE = (3, 6, 5, 4)


def block(dtype=EXACT, **changes):
    arguments = {"num_layers": 3, "growth_rate": 3, "name": "block", "dtype": dtype}
    made = DenseBlock(**{**arguments, **changes})
    made.build(SHAPE)
    return made


def randomize(layer, seed=0):
    """Random weights, scales of both signs, different statistics everywhere."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        values = rng.standard_normal(weight.shape)
        weight.assign(np.abs(values) + 0.5 if weight.name == "moving_variance" else values * 0.5)
    return layer


def copy_trainable(source, target):
    for a, b in zip(source.trainable_weights, target.trainable_weights, strict=True):
        assert a.path == b.path
        b.assign(a)


def train_once(layer, x):
    """Loss of a random projection and its gradients, `[weights ..., input]`."""
    shape = layer.compute_output_shape(x.shape)
    target = ops.convert_to_tensor(random_array(*shape, seed=9, dtype=EXACT))

    def loss(inputs):
        return ops.mean(ops.square(layer(inputs, training=True) - target))

    value, by_weight, by_input = value_and_gradients(loss, layer.trainable_weights, [x])
    if keras.backend.backend() == "jax":
        layer(x, training=True)  # gradients on JAX drop the updates of variables
    return value, [*by_weight, *by_input]


def statistics(layer):
    weights = layer.non_trainable_weights
    return {w.path: ops.convert_to_numpy(w) for w in weights if w.name.startswith("moving_")}


def expect_close(found, wanted, tolerance=TOLERANCE):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.max(np.abs(b))))


def numpy_conv(x, kernel):
    """Correlation with stride 1 and zero padding, one window position at a time."""
    size = kernel.shape[0]
    margin = size // 2
    _, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    windows = [
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    ]
    return sum(windows)


def numpy_block(values, x, num_layers, bottleneck, training):
    """Equation (2) of the paper, from the weights by path."""
    for layer in range(1, num_layers + 1):
        y = x
        for number in (1, 2) if bottleneck else (1,):
            unit = f"block/layer{layer}_conv{number}/"
            mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
            if not training:
                mean = values[unit + "norm/moving_mean"]
                variance = values[unit + "norm/moving_variance"]
            y = (y - mean) / np.sqrt(variance + 1e-5) * values[unit + "norm/gamma"]
            y = numpy_conv(
                np.maximum(y + values[unit + "norm/beta"], 0), values[unit + "conv/kernel"]
            )
        x = np.concatenate([x, y], axis=-1)
    return x


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("bottleneck", [False, True])
def test_equals_an_independent_reference(bottleneck, training):
    layer = randomize(block(bottleneck=bottleneck))
    x = random_array(*SHAPE, dtype=EXACT)
    values = {w.path: ops.convert_to_numpy(w) for w in layer.weights}
    expected = numpy_block(values, x, 3, bottleneck, training)
    expect_close([ops.convert_to_numpy(layer(x, training=training))], [expected])


@pytest.mark.parametrize("normalization", ["per_layer", "shared"])
def test_output_begins_with_the_very_input(normalization):
    layer = randomize(block(dtype="float32", normalization=normalization))
    x = random_array(*SHAPE)
    for training in (False, True):
        y = ops.convert_to_numpy(layer(x, training=training))
        assert y.shape == (*SHAPE[:3], 4 + 3 * 3)
        np.testing.assert_array_equal(y[..., :4], x)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_shared_normalization_is_the_same_function(bottleneck):
    published = randomize(block(bottleneck=bottleneck))
    shared = block(bottleneck=bottleneck, normalization="shared")
    copy_trainable(published, shared)
    for weight in (*published.non_trainable_weights, *shared.non_trainable_weights):
        weight.assign(ops.full_like(ops.convert_to_tensor(weight), 0.5))
    x = random_array(*SHAPE, seed=3, scale=2.0, dtype=EXACT) + 0.7
    value, gradients = train_once(published, x)
    shared_value, shared_gradients = train_once(shared, x)
    assert abs(value - shared_value) < TOLERANCE * value
    assert min(np.max(np.abs(g)) for g in gradients) > 1e-6
    expect_close(shared_gradients, gradients)
    other = random_array(*SHAPE, seed=4, dtype=EXACT)
    expect_close(
        [ops.convert_to_numpy(shared(other, training=False))],
        [ops.convert_to_numpy(published(other, training=False))],
    )


def test_shared_normalization_keeps_fewer_statistics():
    count = {
        form: sum(v.size for v in statistics(block(normalization=form)).values())
        for form in ("per_layer", "shared")
    }
    inner = 2 * 3 * (4 * 3)  # mean and variance of what the 1x1 convolutions make
    assert count["per_layer"] == inner + 2 * (4 + 7 + 10)
    assert count["shared"] == inner + 2 * (4 + 3 + 3)


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("normalization", ["per_layer", "shared"])
def test_recomputation_changes_nothing(normalization, bottleneck):
    arguments = {"normalization": normalization, "bottleneck": bottleneck}
    kept, recomputed = block(**arguments), block(**arguments, memory_efficient=True)
    randomize(kept)
    recomputed.set_weights(kept.get_weights())
    x = random_array(*SHAPE, seed=5, dtype=EXACT)
    value, gradients = train_once(kept, x)
    again, recomputed_gradients = train_once(recomputed, x)
    assert abs(value - again) < TOLERANCE * value
    expect_close(recomputed_gradients, gradients)
    wanted, found = statistics(kept), statistics(recomputed)
    assert wanted.keys() == found.keys()
    expect_close(found.values(), wanted.values())


@pytest.mark.parametrize("normalization", ["per_layer", "shared"])
def test_statistics_move_once_a_step_of_fit(normalization):
    ends = []
    for memory_efficient in (False, True):
        inputs = keras.Input(SHAPE[1:])
        layer = DenseBlock(
            2, 3, normalization=normalization, memory_efficient=memory_efficient, name="block"
        )
        model = keras.Model(inputs, layer(inputs))
        for weight in layer.weights:
            constant = 0.3 * np.cos(np.arange(np.prod(weight.shape))).reshape(weight.shape)
            weight.assign(np.abs(constant) if weight.name == "moving_variance" else constant)
        model.compile(keras.optimizers.SGD(0.01), loss="mse")
        x = random_array(4, *SHAPE[1:])
        y = np.zeros(model.compute_output_shape(x.shape), "float32")
        model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    expect_close(*ends, 1e-5)


def test_moving_statistics_after_one_step():
    layer = block(normalization="shared", momentum=0.75)
    x = random_array(*SHAPE, seed=6, dtype=EXACT) * 3 + 1
    layer(x, training=True)
    first = [v for path, v in statistics(layer).items() if "layer1_input" in path]
    expect_close(first, [0.25 * x.mean((0, 1, 2)), 0.75 + 0.25 * x.var((0, 1, 2))])


@pytest.mark.parametrize("memory_efficient", [False, True])
@pytest.mark.parametrize("normalization", ["per_layer", "shared"])
def test_a_frozen_block_uses_its_statistics(normalization, memory_efficient):
    layer = randomize(block(normalization=normalization, memory_efficient=memory_efficient))
    layer.trainable = False
    x = random_array(*SHAPE, dtype=EXACT)
    before = statistics(layer)
    found, wanted = (ops.convert_to_numpy(layer(x, training=t)) for t in (True, False))
    expect_close([found], [wanted])
    for path, value in statistics(layer).items():
        np.testing.assert_array_equal(value, before[path])


def test_dropout_follows_every_convolution():
    x = random_array(2, 16, 16, 4)
    layer = DenseBlock(1, 50, dropout_rate=0.4, seed=3)
    y = ops.convert_to_numpy(layer(x, training=True))[..., 4:]
    assert abs(np.mean(y == 0) - 0.4) < 0.01
    drops = []

    def counting(values, rate, seed):
        drops.append(values.shape[-1])
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.random, "dropout", counting)
        layer(x, training=True)
        layer(x, training=False)
    assert drops == [200, 50]


def test_dropout_is_the_same_in_both_forms():
    layers = [block(dropout_rate=0.3, seed=8, normalization=n) for n in ("per_layer", "shared")]
    copy_trainable(*layers)
    x = random_array(*SHAPE, dtype=EXACT)
    expect_close(*[[ops.convert_to_numpy(layer(x, training=True))] for layer in layers])


def test_kernels_start_as_published():
    layer = DenseBlock(1, 40)
    layer.build((None, None, None, 30))
    for convolution, size, filters in zip(layer.convolutions, (1, 3), (160, 40), strict=True):
        kernel = ops.convert_to_numpy(convolution.conv.kernel)
        deviation = np.sqrt(2 / (size**2 * filters))
        assert abs(np.std(kernel) / deviation - 1) < 0.05
        assert np.max(np.abs(kernel)) > 3 * deviation  # not truncated


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_half_precision_trains(memory_efficient):
    layer = DenseBlock(
        2, 3, normalization="shared", memory_efficient=memory_efficient, dtype="mixed_float16"
    )
    x = random_array(*SHAPE)
    layer.build(SHAPE)
    reference = DenseBlock(2, 3, normalization="shared")
    reference.build(SHAPE)
    reference.set_weights(layer.get_weights())
    half, single = (ops.convert_to_numpy(m(x, training=True)) for m in (layer, reference))
    assert half.dtype == "float16"
    np.testing.assert_allclose(half, single, atol=0.03)

    def loss(inputs):
        return ops.mean(ops.cast(layer(inputs, training=True), "float32") ** 2)

    _, by_weight, by_input = value_and_gradients(loss, layer.trainable_weights, [x])
    assert all(np.all(np.isfinite(g)) for g in (*by_weight, *by_input))


@pytest.mark.parametrize(("size", "channels", "filters"), [(1, 5, 8), (3, 5, 2), (3, 2, 5)])
def test_fast_convolution_has_the_gradients_of_the_plain_one(size, channels, filters):
    x = random_array(2, 5, 7, channels, dtype=EXACT)
    kernel = random_array(size, size, channels, filters, seed=1, dtype=EXACT)
    weights = ops.convert_to_tensor(random_array(2, 5, 7, filters, seed=2, dtype=EXACT))

    def loss(function):
        return lambda x, kernel: ops.sum(ops.sin(function(x, kernel)) * weights)

    plain = loss(lambda x, kernel: ops.conv(x, kernel, padding="same"))
    value, _, gradients = value_and_gradients(loss(convolve), inputs=[x, kernel])
    wanted, _, wanted_gradients = value_and_gradients(plain, inputs=[x, kernel])
    assert abs(value - wanted) < TOLERANCE * max(1, abs(wanted))
    expect_close(gradients, wanted_gradients)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (1, 1, 1, 6)])
def test_fused_normalization_is_that_of_the_batch(shape):
    x, gamma, beta = random_array(*shape) * 2 + 1, random_array(6, seed=1), random_array(6, seed=2)
    y, mean, variance = (ops.convert_to_numpy(v) for v in batch_normalize(x, gamma, beta, 1e-5))
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), atol=1e-5)
    expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * gamma + beta
    np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be a positive integer. Received: num_layers=0"),
        ({"growth_rate": 1.5}, "growth_rate=1.5"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0"),
        ({"normalization": "batch"}, "normalization='batch'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        DenseBlock(**{"num_layers": 1, "growth_rate": 1, **arguments})


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 4, None)])
def test_wrong_inputs_are_refused(shape):
    with pytest.raises(ValueError, match="height, width, channels"):
        DenseBlock(1, 1).build(shape)
