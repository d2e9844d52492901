"""FactorTransfer: both variants by hand, what its two stages train."""

import numpy as np
import pytest
from keras import ops

from kzoo.losses import FactorTransfer, factor_transfer
from kzoo.losses._features import pool_to
from tests.helpers import random_array, value_and_gradients


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def built(variant="paper", **arguments):
    loss = FactorTransfer("a", "b", variant=variant, **arguments)
    loss.build((None, 4, 6, 5), (None, 4, 6, 3))
    return loss


TEACHER, STUDENT = random_array(3, 4, 6, 5), random_array(3, 4, 6, 3, seed=1)


def test_hand_computed_cases():
    teacher = np.array([3.0, 0.0, 0.0, -4.0], "float32").reshape(1, 1, 2, 2)
    student = np.array([0.0, 2.0, 0.0, 0.0], "float32").reshape(1, 1, 2, 2)
    assert float(factor_transfer(teacher, student)[0]) == pytest.approx((0.6 + 1.0 + 0.8) / 4)
    norm = np.hypot(9.0, 16.0)
    expected = (abs(9 / norm - 1) + 16 / norm) / 2
    found = float(factor_transfer(teacher, student, variant="reference")[0])
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_scaled_factors_are_equal(variant):
    factor = np.abs(random_array(2, 3, 5, 4))
    np.testing.assert_allclose(numpy(factor_transfer(factor, 7 * factor, variant)), 0, atol=1e-6)


def test_only_the_papers_variant_sees_signs_and_channels():
    factor = random_array(2, 3, 5, 4)
    assert numpy(factor_transfer(factor, -factor)).min() > 0.1
    np.testing.assert_allclose(numpy(factor_transfer(factor, -factor, "reference")), 0, atol=1e-6)
    flipped = factor[..., ::-1].copy()
    np.testing.assert_allclose(numpy(factor_transfer(factor, flipped, "reference")), 0, atol=1e-6)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_unlike_sizes_meet_at_the_smaller(variant):
    teacher, student = random_array(2, 5, 3, 4), random_array(2, 7, 8, 4, seed=1)
    expected = factor_transfer(teacher, pool_to(student, 5, 3), variant)
    found = factor_transfer(teacher, student, variant)
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-6)


@pytest.mark.parametrize(("variant", "weight"), [("paper", 500), ("reference", 200)])
def test_the_networks_are_the_published_ones(variant, weight):
    loss = built(variant)
    assert loss.weight == weight
    kernels = {v.path.split("/", 1)[1]: tuple(v.shape) for v in loss.weights if v.name == "kernel"}
    assert kernels == {
        "paraphraser/encoder/convolution_0/kernel": (3, 3, 5, 5),
        "paraphraser/encoder/convolution_1/kernel": (3, 3, 5, 2),
        "paraphraser/encoder/convolution_2/kernel": (3, 3, 2, 2),
        "paraphraser/decoder/convolution_0/kernel": (3, 3, 2, 2),
        "paraphraser/decoder/convolution_1/kernel": (3, 3, 5, 2),
        "paraphraser/decoder/convolution_2/kernel": (3, 3, 5, 5),
        "translator/convolution_0/kernel": (3, 3, 3, 3),
        "translator/convolution_1/kernel": (3, 3, 3, 2),
        "translator/convolution_2/kernel": (3, 3, 2, 2),
    }
    normalized = {v.path.split("/")[1] for v in loss.weights if v.name == "gamma"}
    assert normalized == (set() if variant == "paper" else {"translator"})


def test_a_leaky_relu_of_a_tenth_follows_each_convolution():
    """With kernels that hand on one channel, three layers turn −1 into −0.001."""
    loss = FactorTransfer("a", "b", rate=1.0)
    loss.build((None, 3, 3, 1), (None, 3, 3, 1))
    kernel = np.zeros((3, 3, 1, 1), "float32")
    kernel[1, 1] = 1.0
    loss._translator.set_weights([kernel, np.zeros(1)] * 3)
    found = numpy(loss._translator(np.array([[[[-1.0], [2.0], [0.0]]] * 3], "float32")))
    np.testing.assert_allclose(found[0, 0, :, 0], [-0.001, 2.0, 0.0], rtol=1e-5)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_the_class_compares_the_factors_of_its_networks(variant):
    loss = built(variant)
    factor, translated = loss._paraphraser.encoder(TEACHER), loss._translator(STUDENT)
    assert factor.shape == translated.shape == (3, 4, 6, 2)
    expected = factor_transfer(factor, translated, variant)
    np.testing.assert_allclose(numpy(loss(TEACHER, STUDENT)), numpy(expected), rtol=1e-5)


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_pretraining_measures_the_reconstruction(variant):
    loss = FactorTransfer("a", "b", variant=variant)
    found = numpy(loss.pretrain_call(TEACHER, STUDENT, training=True))
    difference = numpy(loss._paraphraser(TEACHER)) - TEACHER
    size = np.abs(difference) if variant == "paper" else difference**2
    np.testing.assert_allclose(found, size.mean((1, 2, 3)), rtol=1e-5)


def sizes(gradients):
    return [0.0 if g is None else float(np.abs(g).max()) for g in gradients]


@pytest.mark.parametrize("variant", ["paper", "reference"])
def test_each_stage_trains_its_own_network(variant):
    loss = built(variant)
    fit, pretrain = loss.fit_variables, loss.pretrain_variables
    assert len(fit) == (6 if variant == "paper" else 12)
    assert len(pretrain) == 12
    ids = {id(v) for v in fit + pretrain}
    assert ids == {id(v) for v in loss.trainable_variables}
    assert len(ids) == len(fit) + len(pretrain)

    def total(t, s):
        return ops.sum(loss(t, s, training=True))

    _, found, (by_teacher, by_student) = value_and_gradients(total, fit, [TEACHER, STUDENT])
    # Batch normalisation takes away the bias before it.
    moving = [n for n, v in enumerate(fit) if variant == "paper" or v.name != "bias"]
    assert min(np.array(sizes(found))[moving]) > 0
    assert np.abs(by_student).max() > 0
    assert sizes([by_teacher]) == [0.0]
    _, found, _ = value_and_gradients(total, pretrain, [TEACHER, STUDENT])
    assert max(sizes(found)) == 0.0

    def reconstruction(t):
        return ops.sum(loss.pretrain_call(t, STUDENT, training=True))

    _, found, by_input = value_and_gradients(reconstruction, pretrain, [TEACHER])
    assert min(sizes(found)) > 0
    assert sizes(by_input) == [0.0]


def test_it_acts_in_both_stages():
    assert FactorTransfer().stage == "both"
    assert FactorTransfer.from_config(FactorTransfer(stage="fit").get_config()).stage == "fit"


def test_errors():
    with pytest.raises(ValueError, match=r"`rate` must leave one channel.*rate=0\.1 of 5"):
        built(rate=0.1)
    with pytest.raises(ValueError, match="`rate` must be a finite number > 0"):
        FactorTransfer(rate=0)
    with pytest.raises(ValueError, match="`variant` must be one of"):
        FactorTransfer(variant="code")
    with pytest.raises(ValueError, match="Factors must have equally many channels"):
        factor_transfer(TEACHER, STUDENT)
    assert factor_transfer(TEACHER, STUDENT, "reference").shape == (3,)
    with pytest.raises(ValueError, match="Choose other taps"):
        FactorTransfer().build((None, 8), (None, 8))
    with pytest.raises(ValueError, match="give one FactorTransfer per pair"):
        FactorTransfer(["a", "b"], ["a", "b"])
