"""Extractors of shared, compiled, mixed-precision and threaded models."""

import gc
import threading
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo import taps
from kzoo.taps import _record
from tests.helpers import random_array
from tests.taps_models import counted_net, numpy, small_net


def test_a_shared_model_has_one_feature_per_call():
    tower = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="relu", name="inner")], name="tower"
    )
    left, right = keras.Input((4,)), keras.Input((4,))
    joined = layers.Concatenate(name="join")([tower(left), tower(right)])
    model = keras.Model([left, right], layers.Dense(2)(joined))
    names = ["tower/inner:0", "tower/inner:1", "tower/inner", "tower/inner:1:pre", "join", "tower"]
    data = [random_array(5, 4, seed=n) for n in range(2)]
    found = numpy(taps.extractor(model, names)(data))
    both = [found["tower/inner:0"], found["tower/inner:1"]]
    np.testing.assert_array_equal(np.concatenate(both, axis=-1), found["join"])
    assert not np.array_equal(*both)
    for last in ("tower/inner", "tower"):
        np.testing.assert_array_equal(found[last], found["tower/inner:1"])
    before = found["tower/inner:1:pre"]
    np.testing.assert_array_equal(np.maximum(before, 0), found["tower/inner:1"])
    with pytest.raises(ValueError, match=r"is called 2 times.*'tower/inner:0' to 'tower/inner:1'"):
        taps.extractor(model, "tower/inner:2")


def test_a_layer_that_is_called_outside_the_model_is_read_inside_it():
    shared = layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(shared(shared(inputs))))
    keras.Model(inputs, shared(shared(shared(inputs))))
    data = random_array(2, 4)
    found = numpy(taps.extractor(model, ["shared", "shared:0"])(data))
    np.testing.assert_allclose(found["shared:0"], ops.convert_to_numpy(shared(data)), atol=1e-6)
    twice = ops.convert_to_numpy(shared(shared(data)))
    np.testing.assert_allclose(found["shared"], twice, atol=1e-6)


def test_other_shapes_and_compiled_passes():
    inputs = keras.Input((None, None, 1))
    x = layers.Conv2D(2, 3, activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    read = taps.extractor(model, ["stage1", "stage1:pre", "logits"])
    for shape in [(2, 8, 8, 1), (3, 9, 7, 1), (2, 8, 8, 1)]:
        images = random_array(*shape)
        eager = numpy(read(images))
        compiled = read.predict(images, verbose=0)
        assert eager["stage1"].shape == (shape[0], shape[1] - 2, shape[2] - 2, 2)
        for name, feature in eager.items():
            np.testing.assert_allclose(compiled[name], feature, atol=1e-5)


def test_no_feature_outlives_its_pass():
    model = small_net()
    read = taps.extractor(model, ["stage1", "logits"])
    kept = [weakref.ref(feature) for feature in read(random_array(2, 8, 8, 1)).values()]
    gc.collect()
    assert [ref() for ref in kept] == [None, None]


def test_symbolic_pass():
    model = small_net()
    read = taps.extractor(model, ["stage1", "logits"])
    symbolic = read(keras.Input((8, 8, 1)))
    assert {name: tensor.shape for name, tensor in symbolic.items()} == read.tap_shapes
    assert read.tap_shapes == {"stage1": (None, 6, 6, 2), "logits": (None, 3)}


def test_several_inputs_and_outputs():
    image, extra = keras.Input((8, 8, 1), name="image"), keras.Input((2,), name="extra")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, name="conv")(image))
    x = layers.Concatenate(name="join")([x, extra])
    heads = {"a": layers.Dense(3, activation="softmax", name="head_a")(x), "b": layers.Dense(2)(x)}
    model = keras.Model({"image": image, "extra": extra}, heads)
    read = taps.extractor(model, ["outputs", "head_a:pre", "stage1", "logits"])
    data = {"image": random_array(2, 8, 8, 1), "extra": random_array(2, 2)}
    found = read({name: ops.convert_to_tensor(value) for name, value in data.items()})
    outputs = numpy(found.pop("outputs"))
    assert outputs["b"].shape == (2, 2)
    found = numpy(found)
    np.testing.assert_array_equal(found["logits"], found["head_a:pre"])
    np.testing.assert_allclose(
        numpy({"p": ops.softmax(found["logits"])})["p"], outputs["a"], atol=1e-6
    )


def test_mixed_precision_keeps_the_models_types():
    keras.config.set_dtype_policy("mixed_float16")
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, activation="relu", name="conv")(inputs)
    x = layers.Dense(3, name="dense")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Activation("softmax", dtype="float32")(x))
    found = taps.extractor(model, ["stage1", "pooled", "logits", "outputs"])(
        random_array(2, 8, 8, 1)
    )
    types = {name: keras.backend.standardize_dtype(x.dtype) for name, x in found.items()}
    assert types["stage1"] == types["pooled"] == "float16"
    assert types["outputs"] == "float32"
    probabilities = numpy({"p": ops.softmax(ops.cast(found["logits"], "float32"))})["p"]
    np.testing.assert_allclose(probabilities, numpy(found)["outputs"], atol=1e-3)


def test_a_float32_model_keeps_its_precision_under_a_mixed_policy():
    model = small_net()
    inputs = random_array(2, 8, 8, 1) * 1e5
    expected = ops.convert_to_numpy(model(inputs))
    keras.config.set_dtype_policy("mixed_float16")
    found = taps.extractor(model, "outputs")(inputs)["outputs"]
    np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)


def test_threads_that_share_a_model_record_their_own_pass():
    model, counted = counted_net()
    read = taps.extractor(model, ["hidden:pre", "counted"])
    barrier, found = threading.Barrier(2), {}
    plain = counted.call

    def meet(inputs):
        barrier.wait(timeout=30)
        return plain(inputs)

    counted.call = meet

    def work(n):
        found[n] = numpy(read(random_array(3 + n, 4, seed=n)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(2):
        assert found[n]["counted"].shape == (3 + n, 3)
        np.testing.assert_array_equal(
            found[n]["counted"], 2 * np.maximum(found[n]["hidden:pre"], 0)
        )
    assert counted.call is meet
    assert not _record._overlays


def test_a_tap_that_did_not_run_is_named():
    class Sometimes(keras.Model):
        def __init__(self):
            super().__init__(name="sometimes")
            self.extra = layers.Dense(3, name="extra")
            self.head = layers.Dense(3, name="head")

        def call(self, inputs, training=False):
            return self.head(inputs) if training else self.head(self.extra(inputs))

    model = Sometimes()
    model(random_array(2, 3))
    read = taps.extractor(model, ["extra", "logits"])
    read(random_array(2, 3))
    with pytest.raises(ValueError, match="tap 'extra' did not run in this pass of 'sometimes'"):
        read(random_array(2, 3), training=True)


@pytest.mark.tensorflow
def test_graphs_of_other_shapes_do_not_mix():
    import tensorflow as tf

    model = small_net()
    read = taps.extractor(model, ["stage1:pre", "logits"])
    step = tf.function(lambda x: read(x, training=True), reduce_retracing=False)
    for batch in (2, 3, 2):
        found = step(tf.zeros((batch, 8, 8, 1)))
        assert found["logits"].shape == (batch, 3)
        assert read(tf.zeros((batch, 8, 8, 1)))["stage1:pre"].shape == (batch, 6, 6, 2)
    assert step.experimental_get_tracing_count() == 2
