"""The 8 x 8 digits that scikit-learn embeds."""

import numpy as np

from kzoo.data._split import hold_out_test
from kzoo.data.raw_data import RawData
from kzoo.registry import register

CLASS_NAMES = tuple("0123456789")
IMAGE_SHAPE = (8, 8, 1)


@register("dataset", name="digits")
def digits(*, data_dir=None, download=True) -> RawData:
    """1,797 handwritten digits of 8 x 8 pixels, embedded in scikit-learn.

    Use it for tests, demonstrations and first tries: it needs no file and no network,
    and a small network learns it in seconds.

    Reference:
        Alpaydin, Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
        Learning Repository, 1998, doi:10.24432/C50P49 (its test part, 43 writers'
        digits counted in 4 x 4 cells: hence values from 0 to 16).

    There is no published split of the part that scikit-learn embeds. Here 1,437 images
    train and 360 (a fifth, rounded up) test, stratified by class, drawn once and for all.

    Args:
        data_dir: not used.
        download: not used.

    Raises:
        ImportError: where scikit-learn is not installed.

    Example:

    ```python
    from kzoo import data

    raw = data.digits()
    print(raw.train_images.shape, raw.test_images.shape)  # (1437, 8, 8, 1) (360, 8, 8, 1)
    ```
    """
    del data_dir, download
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The digits are part of scikit-learn, which is not installed: `pip install "
            "scikit-learn`."
        ) from error
    bunch = load_digits()
    images = bunch.images[..., np.newaxis].astype("uint8")
    return RawData(
        *hold_out_test(images, bunch.target),
        class_names=CLASS_NAMES,
        source="scikit-learn, sklearn.datasets.load_digits",
        scale=16.0,
    )
