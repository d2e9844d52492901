"""What cannot be distilled is refused in one line that says what to do."""

import functools

import keras
import numpy as np
import pytest

from kzoo import losses
from kzoo.trainers import Distiller
from tests.trainers.models import classifier, distiller, images

RELATIONS = [
    losses.RelationalDistance,
    losses.RelationalAngle,
    losses.SimilarityPreserving,
    losses.ProbabilisticTransfer,
    losses.CorrelationCongruence,
]
STAGE = {"teacher_tap": "stage2", "student_tap": "stage2"}


def refused(given, message, **models):
    with pytest.raises(ValueError, match=message) as caught:
        distiller([given], **models)
    assert "\n" not in str(caught.value).split("\n\n")[0]


def test_unknown_taps_list_those_that_exist():
    refused(losses.Hint("stage2", "stage9"), r"stage9.*stage1.*stage2")
    refused(losses.AttentionTransfer(["stage1", "end"], ["stage1", "stage2"]), "end")


def test_stages_that_do_not_pair_up():
    with pytest.raises(ValueError, match="as many taps as each other"):
        losses.AttentionTransfer(["stage1", "stage2"], ["stage1"])
    large = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 6, activation="relu", name="stage1"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ],
        name="student",
    )
    refused(losses.Hint("stage1", "stage1"), "nearer sizes", student=large)
    flow = losses.FlowOfSolution(["stage1", "stage2"], ["stage1", "stage2"])
    refused(flow, r"equal channels at each tap.*projector='connector'")


@pytest.mark.parametrize(
    "make",
    [
        losses.AttentionTransfer,
        losses.NeuronSelectivity,
        functools.partial(losses.OverhaulFeature, margins=[-1.0]),
        losses.ActivationBoundary,
        losses.FactorTransfer,
    ],
    ids=["AT", "NST", "OFD", "AB", "FT"],
)
def test_maps_are_asked_for(make):
    refused(make(teacher_tap="pooled", student_tap="pooled"), r"maps \(batch, height, width")


def test_ranks_must_agree():
    refused(losses.Hint("pooled", "stage2"), "Choose taps of equal rank")
    refused(losses.SoftTargets(teacher_tap="pooled"), "classes of the teacher")


@pytest.mark.parametrize("make", RELATIONS)
def test_relations_need_two_samples(make):
    taps = STAGE if make is losses.SimilarityPreserving else {}
    eager = keras.backend.backend() == "tensorflow"
    trainer = distiller([make(**taps)], run_eagerly=eager)
    with pytest.raises(ValueError, match=r"at least two.*Received: a batch of 1"):
        trainer.fit(*images(2), batch_size=1, verbose=0)


@pytest.mark.tensorflow
@pytest.mark.parametrize("make", RELATIONS)
def test_a_last_batch_of_one_leaves_a_graph_finite(make):
    taps = STAGE if make is losses.SimilarityPreserving else {}
    trainer = distiller([make(**taps)], run_eagerly=False, jit_compile=False)
    logs = trainer.fit(*images(5), batch_size=4, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


def test_two_classes_are_left_to_soft_targets():
    pair = [classifier(name, classes=2) for name in ("student", "teacher")]
    with pytest.raises(ValueError, match=r"two classes.*SoftTargets"):
        Distiller(*pair, losses.DecoupledKnowledge())


def test_labels_and_numbers_are_asked_for():
    x, y = images(4)
    with pytest.raises(ValueError, match="needs the class of each sample"):
        distiller([losses.DecoupledKnowledge()], loss=None).fit(x, verbose=0)
    memory = losses.ContrastiveRepresentation(4)
    with pytest.raises(ValueError, match=r"needs the number of each sample.*sample_index=True"):
        distiller([memory]).fit(x, y, verbose=0)


def test_a_recorded_or_averaged_teacher_cannot_be_attacked(tmp_path):
    from kzoo import data
    from kzoo.trainers import cache_teacher

    digits = data.load("digits", train_size=20)
    teacher, student = (classifier(name, classes=10) for name in ("teacher", "student"))
    cache = cache_teacher(teacher, digits, ["logits"], tmp_path, verbose=0)
    trainer = Distiller(student, cache, losses.BoundarySupport())
    trainer.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    with pytest.raises(ValueError, match="cannot be asked about new inputs"):
        trainer.fit(digits.sequence("train", 10, attach=cache), shuffle=False, verbose=0)
