import numpy as np
import pytest

from kzoo.export._compare import compare


def test_errors_by_hand():
    expected = np.array([[1.0, -10.0], [5.0, 2.0]])
    wrong = expected + np.array([[0.0, 0.5], [-4.0, 0.0]])
    found = compare([wrong[:1], wrong[1:]], expected)
    assert found.max_error == pytest.approx(4.0 / 10)
    assert found.mean_error == pytest.approx((0.5 + 4.0) / 10 / 4)
    assert found.agreement == 0.5


def test_small_outputs_have_absolute_errors():
    expected = np.array([[0.1, 0.2]])
    assert compare([expected + 0.05], expected).max_error == pytest.approx(0.05)


def test_several_outputs_give_the_worst():
    expected = {"a": np.zeros((2, 3)), "b": np.array([[0.0, 1.0], [1.0, 0.0]])}
    wrong = {"a": expected["a"], "b": expected["b"][::-1]}
    found = compare([wrong], expected)
    assert (found.max_error, found.mean_error, found.agreement) == (1.0, 1.0, 0.0)


def test_nan_is_never_small():
    found = compare([np.array([[np.nan, 0.0]])], np.zeros((1, 2)))
    assert not found.max_error <= 1e9


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shapes \[\(2, 3\)\], the model's \[\(2, 4\)\]"):
        compare([np.zeros((1, 3)), np.zeros((1, 3))], np.zeros((2, 4)))
