"""A classifier that never saw some classes, and the bias that gives them back."""

import keras
import numpy as np

from kzoo.recipes._log_probabilities import log_probabilities

_STEP = 0.1


def corrected(classifier: keras.Model, dataset, classes) -> dict:
    """Errors on omitted classes before and after their bias is raised.

    Soft targets teach a student classes that it never sees, but too rarely: raising the bias
    of these classes alone corrects that. The bias is the one with the best accuracy on the
    validation split; the paper chose it on the test split.

    Args:
        classifier: ends with a softmax.
        dataset: with a validation split.
        classes: the omitted classes.

    Returns:
        A dict: `classes`, `bias`, and for the test split the `images` and, of these, the errors
        `before` and `after`; the same of the omitted classes alone under `omitted`.

    Raises:
        ValueError: for a data set without a validation split.
    """
    check(dataset)
    images, labels = dataset.arrays("validation")
    logs = log_probabilities(classifier, images)
    raised = np.zeros(logs.shape[1])
    raised[list(classes)] = 1.0
    # From no image to every image in one of these classes.
    most = np.max(logs.max(-1) - logs[:, list(classes)].max(-1))
    biases = np.arange(0.0, most + 2 * _STEP, _STEP)
    errors = [np.sum((logs + bias * raised).argmax(-1) != labels) for bias in biases]
    bias = float(biases[int(np.argmin(errors))])
    images, labels = dataset.arrays("test")
    logs = log_probabilities(classifier, images)
    wrong = [logs.argmax(-1) != labels, (logs + bias * raised).argmax(-1) != labels]
    missed = np.isin(labels, classes)
    return {
        "classes": list(classes),
        "bias": round(bias, 1),
        **_counts(np.ones_like(missed), *wrong),
        "omitted": _counts(missed, *wrong),
    }


def check(dataset) -> None:
    """Refuse a data set on which no bias can be chosen.

    Raises:
        ValueError: where there is no validation split.
    """
    if not dataset.spec.sizes.get("validation"):
        raise ValueError(
            "The bias of omitted classes is chosen on the validation split. Set "
            "data.validation_fraction above 0."
        )


def _counts(chosen, before, after):
    return {
        "images": int(chosen.sum()),
        "before": int((before & chosen).sum()),
        "after": int((after & chosen).sum()),
    }
