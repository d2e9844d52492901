"""Logits of classifiers that end with a softmax."""

import keras
import numpy as np

from kzoo.recipes._fit import EVALUATION_BATCH


def logits(classifier: keras.Model, images) -> np.ndarray:
    """Logits up to a constant a sample, float64, `(samples, classes)`."""
    probabilities = classifier.predict(images, batch_size=EVALUATION_BATCH, verbose=0)
    return np.log(np.maximum(probabilities.astype("float64"), np.finfo("float32").tiny))
