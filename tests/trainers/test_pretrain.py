"""The stage before `fit`: what it minimises, and what it leaves alone."""

import keras
import numpy as np
import pytest

from kzoo.losses import FactorTransfer, Hint, SoftTargets
from kzoo.trainers import Distiller
from tests.trainers.models import classifier, distiller, equal, images, values


def moved(model, before):
    """Names of the layers whose trainable variables changed."""
    return {
        v.path.split("/")[0]
        for v, old in zip(model.trainable_variables, before, strict=True)
        if not np.array_equal(keras.ops.convert_to_numpy(v), old)
    }


def staged(stage):
    hint = Hint("stage1", "stage1", variant="reference", weight=1.0, stage=stage, name="early")
    return [SoftTargets(), hint]


def test_only_what_lies_before_the_tap_moves():
    x, y = images(8)
    trainer = distiller(staged("pretrain"), student=classifier("student", regularizer="l2"))
    student, teacher = trainer.student, trainer.teacher
    before, frozen = values(student.trainable_variables), values(teacher.weights)
    projector = values(trainer.distillation_losses[1].trainable_variables)
    history = trainer.pretrain(x, y, epochs=3, batch_size=8, verbose=0).history
    assert moved(student, before) == {"conv1", "norm1"}
    assert not equal(projector, values(trainer.distillation_losses[1].trainable_variables))
    assert equal(frozen, values(teacher.weights))
    assert set(history) == {"loss", "early", "regularization"}
    assert history["early"][-1] < history["early"][0]


def test_the_stage_decides_when_a_loss_acts():
    x, y = images(4)
    for stage, early, late in (("pretrain", True, False), ("both", True, True)):
        trainer = distiller(staged(stage))
        assert ("early" in trainer.pretrain(x, y, verbose=0).history) == early
        assert ("early" in trainer.fit(x, y, verbose=0).history) == late
    with pytest.raises(ValueError, match=r"No loss has a stage before `fit`.*stage='pretrain'"):
        distiller(staged("fit")).pretrain(x, y)
    with pytest.raises(ValueError, match="`stage` must be one of"):
        Hint("stage1", "stage1", stage="first")


@pytest.mark.filterwarnings("ignore:The loss 'early' has a stage before `fit`")
def test_fit_leaves_the_projector_of_the_first_stage_alone():
    x, y = images(8)
    trainer = distiller(staged("pretrain"))
    early = trainer.distillation_losses[1]
    before = values(early.trainable_variables)
    trainer.fit(x, y, verbose=0)
    assert equal(before, values(early.trainable_variables))


@pytest.mark.parametrize("loss", [staged("pretrain")[1], FactorTransfer("stage2", "stage2")])
def test_a_stage_that_was_skipped_is_noticed(loss):
    x, y = images(8)
    loss = type(loss).from_config(loss.get_config())
    trainer = distiller([SoftTargets(), loss])
    with pytest.warns(UserWarning, match=r"has a stage before `fit` that was not run.*`pretrain`"):
        trainer.fit(x, y, verbose=0)
    trainer.pretrain(x, y, verbose=0)
    trainer.fit(x, y, verbose=0)


def test_a_paraphraser_is_trained_by_its_own_loss_whatever_the_weight():
    x, y = images(8)
    losses = []
    for weight in (1.0, 500.0):
        trainer = distiller([FactorTransfer("stage2", "stage2", weight=weight)])
        for variable in trainer.distillation_losses[0].variables:
            if variable.dtype == "float32":
                variable.assign(keras.ops.full(variable.shape, 0.02))
        losses.append(trainer.pretrain(x, y, batch_size=8, verbose=0).history["factor_transfer"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_stage_has_an_optimizer_of_its_own():
    x, y = images(8)
    trainer = distiller(staged("pretrain"), optimizer=keras.optimizers.SGD(0.1))
    trainer.pretrain(x, y, epochs=2, batch_size=4, verbose=0)
    assert int(trainer.optimizer.iterations) == 0
    before = values(trainer.student.trainable_variables)
    trainer.pretrain(x, y, optimizer=keras.optimizers.SGD(0.0), verbose=0)
    assert equal(before, values(trainer.student.trainable_variables))


def test_a_stage_without_labels():
    x, _ = images(4)
    history = distiller(staged("pretrain"), loss=None).pretrain(x, verbose=0).history
    assert history["early"][0] > 0


@pytest.mark.tensorflow
def test_the_stage_runs_as_a_graph():
    x, y = images(8)
    results = []
    for eager in (True, False):
        trainer = distiller(
            staged("pretrain"), optimizer=keras.optimizers.SGD(0.1), run_eagerly=eager
        )
        trainer.student.get_layer("dropout").rate = 0.0
        trainer.pretrain(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
        results.append(values(trainer.student.trainable_variables))
    for eager, graph in zip(*results, strict=True):
        np.testing.assert_allclose(eager, graph, rtol=1e-4, atol=1e-5)


def test_the_hint_of_two_pairs_moves_up_to_the_deeper_tap():
    x, y = images(4)
    student, teacher = classifier("student"), classifier("teacher", filters=4)
    losses = [Hint(f"stage{n}", f"stage{n}", stage="pretrain") for n in (1, 2)]
    trainer = Distiller(student, teacher, losses)
    trainer.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    before = values(student.trainable_variables)
    trainer.pretrain(x, y, verbose=0)
    assert moved(student, before) == {"conv1", "norm1", "conv2", "norm2"}


def test_a_saved_trainer_knows_that_its_stage_was_run(tmp_path, recwarn):
    trainer = distiller([SoftTargets(), Hint("stage1", "stage1", stage="pretrain")])
    trainer.pretrain(*images(), verbose=0)
    trainer.save(tmp_path / "staged.keras")
    loaded = keras.saving.load_model(tmp_path / "staged.keras")
    loaded.fit(*images(), verbose=0)
    assert not [w for w in recwarn if "was not run" in str(w.message)]
