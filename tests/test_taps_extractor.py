"""What an extractor does: one pass of the model itself, and the model stays as it was."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import taps
from kzoo.taps import _record
from tests.helpers import random_array, value_and_gradients
from tests.taps_models import counted_net, numpy, small_net


def operations(model):
    """Every operation of a model, nested ones included."""
    found = list(getattr(model, "operations", []))
    return [model, *found, *(model._flatten_layers() if isinstance(model, keras.Model) else [])]


def state(model):
    """All that an observer could change about a model's layers."""
    return [
        (
            operation.name,
            sorted(vars(operation)),
            len(operation._inbound_nodes),
            len(operation._outbound_nodes),
            getattr(operation, "trainable", None),
            getattr(operation, "activation", None),
            [id(weight) for weight in getattr(operation, "weights", [])],
        )
        for operation in operations(model)
    ]


def test_all_taps_come_from_one_pass():
    model, counted = counted_net()
    read = taps.extractor(model, ["hidden", "hidden:pre", "counted", "logits", "outputs"])
    counted.passes = 0
    found = numpy(read(random_array(3, 4)))
    assert counted.passes == 1
    np.testing.assert_array_equal(found["counted"], 2 * found["hidden"])
    np.testing.assert_array_equal(found["hidden"], np.maximum(found["hidden:pre"], 0))
    np.testing.assert_array_equal(found["logits"], found["outputs"])


def test_features_belong_to_the_output_under_dropout():
    model = small_net()
    read = taps.extractor(model, ["gap", "drop", "logits", "outputs"])
    first = numpy(read(random_array(2, 8, 8, 1), training=True))
    second = numpy(read(random_array(2, 8, 8, 1), training=True))
    assert not np.array_equal(first["drop"], second["drop"])
    np.testing.assert_allclose(first["drop"].mean((1, 2)), first["gap"], atol=1e-6)
    kernel, bias = model.get_layer("dense").get_weights()
    np.testing.assert_allclose(first["gap"] @ kernel + bias, first["logits"], atol=1e-5)
    inference = numpy(read(random_array(2, 8, 8, 1)))
    np.testing.assert_allclose(
        inference["outputs"], ops.convert_to_numpy(model(random_array(2, 8, 8, 1))), atol=1e-6
    )


def test_statistics_move_once_in_training_and_never_at_inference():
    model = small_net()
    read = taps.extractor(model, ["conv", "stage1"])
    mean = model.get_layer("norm").moving_mean
    inputs = random_array(4, 8, 8, 1)
    read(inputs, training=False)
    np.testing.assert_array_equal(ops.convert_to_numpy(mean), 0.0)
    found = numpy(read(inputs, training=True))
    once = 0.01 * found["conv"].mean((0, 1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(mean), once, rtol=1e-4)


def test_the_model_stays_as_it_was():
    model = small_net()
    before = state(model)
    weights = model.get_weights()
    taps.available(model, layers=True)
    read = taps.extractor(model, ["conv:pre", "stage1", "pooled", "logits"])
    assert state(model) == before
    read(random_array(2, 8, 8, 1))
    read.predict(random_array(2, 8, 8, 1), verbose=0)
    assert [v for row in state(model) for v in row[1] if v == "call"] == []
    for row, old in zip(state(model), before, strict=True):
        assert (row[0], *row[2:]) == (old[0], *old[2:])
    for weight, old in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert not _record._overlays


def test_the_model_stays_as_it_was_after_an_error():
    model, counted = counted_net()
    read = taps.extractor(model, ["hidden:pre", "counted"])
    before = state(model)
    counted.fail = True
    with pytest.raises(RuntimeError, match="told to fail"):
        read(random_array(3, 4))
    assert state(model) == before
    assert not _record._overlays
    counted.fail = False
    assert set(read(random_array(3, 4))) == {"hidden:pre", "counted"}


def test_variables_are_the_models_and_get_gradients():
    model = small_net()
    read = taps.extractor(model, ["stage1", "logits"])
    assert [id(v) for v in read.trainable_variables] == [id(v) for v in model.trainable_variables]

    def total(x):
        found = read(x, training=False)
        return ops.sum(found["stage1"] ** 2) + ops.sum(found["logits"])

    _, by_variable, (by_input,) = value_and_gradients(
        total, model.trainable_variables, [random_array(2, 8, 8, 1)]
    )
    assert all(np.abs(gradient).max() > 0 for gradient in by_variable)
    assert np.abs(by_input).max() > 0
