"""The facts about a data set that models, recipes and cards need."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """The facts about a data set.

    Attributes:
        name: the name that `kzoo.data.load` was given.
        image_shape: `(height, width, channels)`.
        classes: number of classes.
        class_names: one name a class, in the order of the labels.
        mean: per channel, of all published training images scaled to [0, 1].
        std: per channel, likewise; 1 for a channel that never changes.
        sizes: images per split.
        source: where the images came from, in words.
        scale: raw images divided by it lie in [0, 1].
    """

    name: str
    image_shape: tuple[int, int, int]
    classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: dict[str, int]
    source: str
    scale: float

    @property
    def black(self) -> tuple[float, ...]:
        """A raw pixel of zeros after normalisation, per channel."""
        return tuple(-m / s for m, s in zip(self.mean, self.std, strict=True))
