"""Groups of classes that a classifier confuses."""

import numpy as np

from kzoo.losses._arguments import check_integer, check_number

_SMALLEST = 1e-30


def confusable_classes(probabilities, num_groups, seed=0, temperature=1.0):
    """Groups of classes that a classifier confuses, found in its predictions.

    Use it for the `groups` of `SpecialistEnsemble`. No labels are needed. Predict on images that
    the classifier was not trained on. One that is nearly always right hardly confuses anything,
    and then the groups follow the frequencies of the classes: raise `temperature`, to about 5,
    until the groups make sense.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
        NIPS Deep Learning Workshop 2014, arXiv:1503.02531, section 5.

    K-means on the columns of the covariance matrix of the predictions softmax(z / T): classes that
    are probable for the same images have similar columns.

    A cluster of a single class is dropped, as it is confused with no other. So there may be
    fewer groups than asked for, classes in no group, and never a class in two.

    Args:
        probabilities: what the classifier predicts, `(images, classes)`: after the softmax.
        num_groups: clusters to make, from 2 to the number of classes − 1.
        seed: of the starting points of K-means.
        temperature: T > 0; the published clusters are those of T = 1.

    Returns:
        A tuple of groups, each a tuple of two or more classes in order.

    Raises:
        ValueError: for what are no probabilities of three or more classes, for predictions that
            are the same for all images, and for a wrong number of groups or temperature.

    Example:

    ```python
    import numpy as np
    from kzoo.trainers import confusable_classes

    # Of six classes, 0 and 3 are hard to tell apart, and so are 1 and 5.
    labels, twins = np.arange(600) % 6, np.array([3, 5, 2, 0, 4, 1])
    share = np.random.default_rng(0).random((600, 1))
    probabilities = (1 - share) * np.eye(6)[labels] + share * np.eye(6)[twins[labels]]
    print(confusable_classes(probabilities, num_groups=4))  # ((0, 3), (1, 5))
    ```

    The paper uses an online version of K-means, and no temperature.
    """
    from sklearn.cluster import KMeans

    probabilities = _checked(probabilities)
    classes = probabilities.shape[1]
    check_integer("num_groups", num_groups, low=2)
    check_number("temperature", temperature)
    if num_groups >= classes:
        raise ValueError(
            f"`num_groups` must be less than the {classes} classes. "
            f"Received: num_groups={num_groups}"
        )
    if np.ptp(probabilities, axis=0).max() < 1e-6:
        raise ValueError(
            "`probabilities` must differ between images. Received: the same prediction for all. "
            "Is the classifier trained?"
        )
    columns = np.cov(_softened(probabilities, temperature), rowvar=False)
    clusters = KMeans(num_groups, n_init=10, random_state=seed).fit_predict(columns)
    groups = [tuple(np.flatnonzero(clusters == one).tolist()) for one in range(num_groups)]
    return tuple(sorted(group for group in groups if len(group) > 1))


def _softened(probabilities, temperature):
    """softmax(z / T), where the probabilities are softmax(z)."""
    logits = np.log(np.maximum(probabilities, _SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _checked(probabilities):
    found = np.asarray(probabilities, "float64")
    good = found.ndim == 2 and len(found) > 1 and found.shape[1] > 2 and found.min() >= 0
    if not good or not np.allclose(found.sum(axis=1), 1.0, atol=1e-2):
        raise ValueError(
            "`probabilities` must be of shape (images, classes), with rows that sum to 1, of two "
            f"or more images and three or more classes. Received: shape={found.shape}. Logits "
            "need a softmax first."
        )
    return found
