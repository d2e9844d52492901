"""Methods that compare distributions over classes refuse classifiers without one."""

import keras
import pytest

from kzoo.trainers import (
    AdversarialDistillation,
    BeYourOwnTeacher,
    ClassWiseSelfDistillation,
    CollaborativeLearning,
    DataDistortionSelfDistillation,
    DataFreeDistillation,
    EnsembleDistillation,
    MutualLearning,
    SpecialistEnsemble,
)


def network(name="net", classes=1, end="sigmoid"):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="stage1")(inputs)
    x = keras.layers.Conv2D(2, 3, name="stage2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, keras.layers.Activation(end)(x) if end else x, name=name)


METHODS = {
    "mutual": lambda **end: MutualLearning([network("a", **end), network("b", **end)]),
    "collaborative": lambda **end: CollaborativeLearning(
        lambda: network(**end), num_heads=2, split="stage1"
    ),
    "ensemble": lambda **end: EnsembleDistillation(
        lambda: network(**end), num_heads=2, split="stage1"
    ),
    "own teacher": lambda **end: BeYourOwnTeacher(network(**end)),
    "class-wise": lambda **end: ClassWiseSelfDistillation(network(**end)),
    "distortion": lambda **end: DataDistortionSelfDistillation(network(**end)),
    "adversarial": lambda **end: AdversarialDistillation(network("s", **end), network("t", **end)),
    "kdgan": lambda **end: AdversarialDistillation(
        network("s", **end), network("t", **end), "kdgan"
    ),
    "data-free": lambda **end: DataFreeDistillation(network("s", **end), network("t", **end)),
    "specialists": lambda **end: SpecialistEnsemble(network(**end), [(0, 1)]),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("end", "received"),
    [
        ({"classes": 1, "end": "sigmoid"}, "one output"),
        ({"classes": 1, "end": None}, "one output"),
        ({"classes": 3, "end": "sigmoid"}, "a sigmoid"),
    ],
)
def test_what_has_no_distribution_over_classes_is_refused(method, end, received):
    with pytest.raises(ValueError, match=f"softmax or with logits .* Received: {received}"):
        METHODS[method](**end)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ["softmax", None])
def test_softmax_and_logits_are_taken(method, end):
    METHODS[method](classes=3, end=end)
