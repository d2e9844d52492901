import keras
import numpy as np
import pytest

from kzoo.layers import MultiSampleDropout
from kzoo.testing.subjects import numpy
from tests.helpers import random_array

BATCH, FEATURES, CLASSES, SAMPLES = 6, 10, 4, 5
X = random_array(BATCH, FEATURES)


@keras.saving.register_keras_serializable("tests")
class Recorder(keras.layers.Dense):
    """A dense head that keeps what goes through it."""

    def call(self, inputs, training=None):
        logits = super().call(inputs)
        self.seen = [numpy(t).astype("float64") for t in (inputs, logits)]
        self.calls = getattr(self, "calls", 0) + 1
        return logits


def layer_with(head, seed=1, **arguments):
    layer = MultiSampleDropout(head, **{"num_samples": SAMPLES, "seed": seed, **arguments})
    layer.build(X.shape)
    head.set_weights([random_array(*w.shape, seed=2) for w in head.get_weights()])
    return layer


def recorded(layer, x=X):
    """Mean logits, the added loss, and the single logits of one training call."""
    mean = numpy(layer(x, training=True)).astype("float64")
    (loss,) = layer.losses
    single = layer.head.seen[1].reshape(layer.num_samples, len(x), -1)
    return mean, float(numpy(loss)), single


def logsumexp(z):
    top = z.max(-1)
    return top + np.log(np.exp(z - top[..., None]).sum(-1))


def cross_entropy(labels, logits):
    return np.mean(logsumexp(logits) - np.sum(labels * logits, -1))


def labels(kind):
    hard = np.eye(CLASSES)[np.arange(BATCH) % CLASSES]
    soft = np.random.default_rng(3).dirichlet(np.ones(CLASSES), BATCH)
    return {"hard": hard, "soft": soft, "smoothed": 0.9 * hard + 0.1 / CLASSES}[kind]


def classifier(learning_rate):
    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, layer_with(keras.layers.Dense(CLASSES))(inputs))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    return model


@pytest.mark.parametrize("kind", ["hard", "soft", "smoothed"])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_mean_of_the_losses_is_loss_of_the_mean_plus_what_is_added(kind, scale):
    layer = layer_with(Recorder(CLASSES))
    mean, added, single = recorded(layer, scale * X)
    y = labels(kind)
    wanted = np.mean([cross_entropy(y, z) for z in single])
    assert cross_entropy(y, mean) + added == pytest.approx(wanted, rel=1e-5)
    assert added > 0.01 * scale  # Jensen: the loss of the mean alone is another objective


def test_a_common_offset_costs_no_precision():
    layer = layer_with(Recorder(CLASSES))
    kernel, bias = layer.head.get_weights()
    layer.head.set_weights([kernel, bias + 1e4])
    _, added, single = recorded(layer)
    wanted = np.mean(logsumexp(single).mean(0) - logsumexp(single.mean(0)))
    assert added == pytest.approx(wanted, rel=1e-5)


def test_fit_trains_on_the_mean_of_the_losses():
    _, _, single = recorded(layer_with(Recorder(CLASSES)))
    model = classifier(learning_rate=0.3)
    y = labels("soft")
    loss = float(model.train_on_batch(X, y))
    assert loss == pytest.approx(np.mean([cross_entropy(y, z) for z in single]), rel=1e-5)
    plain = cross_entropy(y, numpy(model.layers[-1].head(X)).astype("float64"))
    assert float(model.evaluate(X, y, verbose=0)) == pytest.approx(plain, rel=1e-5)
    history = model.fit(X, y, epochs=15, verbose=0).history["loss"]
    assert np.mean(history[-3:]) < 0.7 * loss


def test_the_gradient_is_the_mean_of_the_single_gradients():
    y = labels("soft")
    twin = layer_with(Recorder(CLASSES))
    _, _, single = recorded(twin)
    masked = twin.head.seen[0].reshape(SAMPLES, BATCH, FEATURES)
    softmax = np.exp(single - logsumexp(single)[..., None])
    wanted = np.mean([x.T @ (p - y) / BATCH for x, p in zip(masked, softmax, strict=True)], axis=0)

    model = classifier(learning_rate=1.0)
    before = numpy(model.trainable_variables[0]).copy()
    model.train_on_batch(X, y)
    after = numpy(model.trainable_variables[0])
    assert np.allclose(before - after, wanted, atol=1e-5)


def test_one_pass_of_the_head_over_the_tiled_batch():
    layer = layer_with(Recorder(CLASSES), rate=0.3)
    recorded(layer)
    assert layer.head.calls == 1
    seen = layer.head.seen[0].reshape(SAMPLES, BATCH, FEATURES)
    assert np.allclose(seen[seen != 0], np.tile(X / 0.7, (SAMPLES, 1, 1))[seen != 0], rtol=1e-5)
    zeros = (seen == 0).reshape(SAMPLES, -1)
    assert len({row.tobytes() for row in zeros}) == SAMPLES  # each sample has its own mask


def test_the_rate_is_the_fraction_of_zeros():
    layer = MultiSampleDropout(Recorder(2), num_samples=8, rate=0.1, seed=1)
    layer(np.ones((100, 100), "float32"), training=True)
    zeros = np.mean(layer.head.seen[0] == 0)
    assert abs(zeros - 0.1) < 5 * np.sqrt(0.09 / 80_000)


def test_one_sample_is_plain_dropout():
    layer = layer_with(Recorder(CLASSES), num_samples=1)
    mean, added, single = recorded(layer)
    assert added == pytest.approx(0.0, abs=1e-6)
    assert np.array_equal(mean, single[0])


def test_without_dropout_nothing_is_added():
    layer = layer_with(Recorder(CLASSES), rate=0)
    mean, added, _ = recorded(layer)
    assert added == pytest.approx(0.0, abs=1e-6)
    assert np.allclose(mean, numpy(layer.head(X)), atol=1e-5)


def test_inference_is_the_head():
    layer = layer_with(keras.layers.Dense(CLASSES))
    assert np.array_equal(numpy(layer(X)), numpy(layer.head(X)))
    assert layer.losses == []


def test_a_model_as_head_over_maps(tmp_path):
    head = keras.Sequential(
        [
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dense(CLASSES, name="dense"),
        ],
        name="head",
    )
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, MultiSampleDropout(head, 3, seed=1, name="classifier")(inputs))
    assert model.output_shape == (None, CLASSES)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(from_logits=True))
    x = random_array(BATCH, 6, 5, 2)
    model.fit(x, labels("hard"), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.allclose(numpy(loaded(x)), numpy(model(x)), atol=1e-6)
    assert loaded.get_layer("classifier").num_samples == 3


def test_dense_predictions():
    layer = MultiSampleDropout(Recorder(CLASSES), 3, seed=1)
    x = random_array(BATCH, 5, FEATURES)
    y = numpy(layer(x, training=True)).astype("float64")
    single = layer.head.seen[1].reshape(3, BATCH, 5, CLASSES)
    assert np.allclose(y, single.mean(0), atol=1e-6)
    wanted = np.mean(logsumexp(single).mean(0) - logsumexp(single.mean(0)))
    assert float(numpy(layer.losses[0])) == pytest.approx(wanted, rel=1e-5)


def test_a_float32_head_keeps_its_precision_in_a_half_precision_layer():
    head = keras.layers.Dense(CLASSES, dtype="float32")
    layer = MultiSampleDropout(head, dtype="mixed_float16")
    spec = layer(keras.Input((FEATURES,)))
    for training in (False, True):
        y = layer(X, training=training)
        assert keras.backend.standardize_dtype(y.dtype) == spec.dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": 10}, "`head` must be a Keras layer or model that gives logits"),
        ({"head": keras.layers.Dense(3, activation="softmax")}, "ends in a softmax"),
        ({"num_samples": 0}, "`num_samples` must be a positive integer"),
        ({"num_samples": 2.0}, "`num_samples` must be a positive integer"),
        ({"rate": 1.0}, r"`rate` must be a number in \[0, 1\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiSampleDropout(**{"head": keras.layers.Dense(3), **arguments})
