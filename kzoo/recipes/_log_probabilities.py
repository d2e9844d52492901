"""What classifiers that end with a softmax say of images."""

import keras
import numpy as np

from kzoo.recipes._fit import EVALUATION_BATCH


def log_probabilities(classifier: keras.Model, images) -> np.ndarray:
    """Logarithms of the probabilities, float64, `(samples, classes)`; -87.3 for 0."""
    probabilities = classifier.predict(images, batch_size=EVALUATION_BATCH, verbose=0)
    return np.log(np.maximum(probabilities.astype("float64"), np.finfo("float32").tiny))
