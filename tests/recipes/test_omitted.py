"""The bias of classes that a classifier never saw."""

import types

import numpy as np
import pytest

from kzoo.recipes import _omitted


class Images:
    """A data set whose images are what the classifier says of them."""

    def __init__(self, logs, labels):
        self.logs, self.labels = np.asarray(logs, "float64"), np.asarray(labels)
        self.spec = types.SimpleNamespace(sizes={"validation": 1})

    def arrays(self, split):
        return self.logs, self.labels


@pytest.fixture(autouse=True)
def _says_what_it_sees(monkeypatch):
    monkeypatch.setattr(_omitted, "log_probabilities", lambda classifier, images: images)


@pytest.mark.parametrize("gap", [0.55, 69.25])
def test_a_bias_is_found_however_sure_the_classifier_is(gap):
    images = Images([[0.0, -gap], [0.0, -gap - 5.0]], [1, 0])
    found = _omitted.corrected(None, images, (1,))
    assert found["omitted"] == {"images": 1, "before": 1, "after": 0}
    assert (found["before"], found["after"]) == (1, 0)
    assert gap < found["bias"] <= gap + 0.1


def test_no_bias_where_none_helps():
    found = _omitted.corrected(None, Images([[0.0, -1.0], [-1.0, 0.0]], [0, 1]), (1,))
    assert found["bias"] == 0.0
