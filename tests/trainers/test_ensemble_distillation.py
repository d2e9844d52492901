"""EnsembleNet against its formula in NumPy."""

import keras
import numpy as np
import pytest

from kzoo import taps
from kzoo.testing.subjects import numpy
from kzoo.trainers import EnsembleDistillation
from tests.trainers.models import classifier, images
from tests.trainers.trees import (
    LOSS,
    X,
    Y,
    by_labels,
    check_step,
    cross_entropy,
    eager,
    fitted,
    logits,
    segment,
    softmax,
    trained,
    tree,
    weights,
)

WEIGHTS = (1, 0.5, 0.0, -0.7, -1.5)
TASK = "sparse_categorical_crossentropy"


def by_logits(found, weight):
    """Gradients of the loss by each head's logits."""
    count, mean = len(found), np.mean(found, axis=0)
    return [((1 - weight) * by_labels(z) + weight * by_labels(mean)) / count for z in found]


def divergence(found):
    """The mean KL from the ensemble to the heads."""
    ensemble = softmax(np.mean(found, axis=0))
    return np.mean(
        [np.sum(ensemble * np.log(ensemble / softmax(z)), axis=-1).mean() for z in found]
    )


@pytest.mark.parametrize("counts", [(2,), (3,), (2, 2)])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_step_is_the_formula_and_nothing_is_rescaled(weight, counts):
    given = weights(*counts)
    found = logits(given, X)
    trainer = EnsembleDistillation(**tree(given), ensemble_weight=weight)
    history = check_step(trainer, given, by_logits(found, weight), rescale=False)
    heads = np.mean([np.mean(cross_entropy(z)) for z in found])
    ensemble = np.mean(cross_entropy(np.mean(found, axis=0)))
    expected = {
        "loss": (1 - weight) * heads + weight * ensemble,
        "heads_loss": (1 - weight) * heads,
        "ensemble_loss": weight * ensemble,
        "divergence": divergence(found),
    }
    for name, value in expected.items():
        if value == 0.0:  # a loss without weight is not computed
            assert name not in history
        else:
            np.testing.assert_allclose(history[name][0], value, rtol=1e-5)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_loss_is_that_of_the_heads_minus_a_divergence(weight):
    """mean CE_i − CE of the mean logits = mean KL(p ‖ p_i), so λ < 0 is co-distillation."""
    given = weights(3, seed=5)
    found = logits(given, X)
    heads = np.mean([np.mean(cross_entropy(z)) for z in found])
    ensemble = np.mean(cross_entropy(np.mean(found, axis=0)))
    np.testing.assert_allclose(heads - ensemble, divergence(found), rtol=1e-12)
    history = fitted(EnsembleDistillation(**tree(given), ensemble_weight=weight))
    np.testing.assert_allclose(
        history["loss"][0], heads - weight * history["divergence"][0], rtol=1e-5
    )


def test_heads_with_a_softmax_learn_the_same():
    given, ends = weights(2), []
    for softmax_at_end, loss in ((False, LOSS), (True, TASK)):
        trainer = EnsembleDistillation(**tree(given, softmax_at_end), ensemble_weight=-0.5)
        fitted(trainer, epochs=3, loss=loss)
        ends.append(trained(trainer))
    for first, second in zip(*ends, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("softmax_at_end", [True, False])
@pytest.mark.parametrize("counts", [(3,), (2, 2)])
def test_the_ensemble_has_the_form_of_the_heads(counts, softmax_at_end, tmp_path):
    given, x = weights(*counts), X.astype("float32")
    trainer = EnsembleDistillation(**tree(given, softmax_at_end))
    wanted = np.mean(logits(given, X), axis=0)
    wanted = softmax(wanted) if softmax_at_end else wanted
    model = trainer.ensemble
    assert type(model).__module__.startswith("keras.")
    assert len(model.trainable_variables) == len(trainer.trainable_variables)
    model.save(tmp_path / "ensemble.keras")
    loaded = keras.saving.load_model(tmp_path / "ensemble.keras")
    for found in (trainer(x), model(x), trainer.scores(x)["ensemble"], loaded(x)):
        np.testing.assert_allclose(numpy(found), wanted, rtol=1e-5, atol=1e-6)
    assert trainer.predict(x, verbose=0).shape == (4, 3)


def test_a_softmax_inside_of_the_last_layer():
    given = weights(2)
    heads = [segment(kernel, f"head{n}") for n, kernel in enumerate(given[1])]
    for head in heads:
        head.layers[-1].activation = keras.activations.softmax
    trainer = EnsembleDistillation(trunk=segment(given[0], "trunk"), heads=heads)
    wanted = softmax(np.mean(logits(given, X), axis=0))
    np.testing.assert_allclose(numpy(trainer.ensemble(X.astype("float32"))), wanted, rtol=1e-5)


def group(**options):
    trainer = EnsembleDistillation(lambda: classifier("net"), num_heads=2, **options)
    trainer.compile("adam", TASK, metrics=["accuracy"], run_eagerly=eager())
    return trainer


def test_the_ensemble_comes_out():
    x, y = images()
    trainer = group()
    assert list(trainer.classifiers) == ["ensemble", "head1", "head2"]
    assert trainer.best() is trainer.ensemble
    logs = trainer.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["accuracy"], logs["ensemble_accuracy"])
    assert "divergence" not in logs
    assert "logits" in taps.available(trainer.ensemble)
    for head, wrong in zip(trainer.heads, (0.0, 90.0), strict=True):
        head.get_layer("logits").bias.assign([wrong, 60.0, 0.0])
    logs = trainer.evaluate(x, np.ones(8), verbose=0, return_dict=True)
    found = [logs[f"{name}_accuracy"] for name in ("ensemble", "head1", "head2")]
    assert found == [1.0, 1.0, 0.0]
    assert trainer.best() is trainer.ensemble
    trainer.heads[1].get_layer("logits").bias.assign([190.0, 60.0, 0.0])
    trainer.evaluate(x, np.ones(8), verbose=0)
    assert trainer.best() is trainer.classifiers["head1"]


def test_without_a_loss():
    trainer = EnsembleDistillation(**tree(weights(2)))
    trainer.compile("sgd", run_eagerly=eager())
    with pytest.raises(ValueError, match="nothing to train"):
        trainer.fit(X, Y, verbose=0)


@pytest.mark.parametrize("weight", [1.01, float("nan"), float("-inf"), True, "mean"])
def test_errors(weight):
    with pytest.raises(ValueError, match=r"`ensemble_weight` must be a finite number .*<= 1"):
        EnsembleDistillation(**tree(weights(2)), ensemble_weight=weight)
