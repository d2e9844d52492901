"""The augmentations that have names."""

from kzoo.data.crop_flip import CropFlip
from kzoo.registry import suggest

# Name -> function of the data set's spec that makes `augment(images, generator)`.
AUGMENTATIONS = {
    "crop_flip": lambda spec: CropFlip(padding=4, flip=True, fill=spec.black),
    "shift": lambda spec: CropFlip(padding=1, flip=False, fill=spec.black),
}


def get(augment, spec):
    """The augmentation as a function of `(images, generator)`, or `None`.

    Args:
        augment: `None`, a name of `AUGMENTATIONS`, or such a function.
        spec: the data set's `DatasetSpec`.
    """
    if augment is None or callable(augment):
        return augment
    if isinstance(augment, str) and augment in AUGMENTATIONS:
        return AUGMENTATIONS[augment](spec)
    raise ValueError(
        "`augment` must be None, a name, or a function of (images, generator). "
        f"Received: augment={augment!r}. {suggest(augment, AUGMENTATIONS)}"
    )
