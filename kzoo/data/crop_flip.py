"""Random crops of padded images, and mirror images."""

import numpy as np


class CropFlip:
    """Moves each image by up to `padding` pixels and mirrors half of them.

    Use it as `augment=` of `Dataset.sequence` and `Dataset.pipeline` where the names
    `"crop_flip"` (4 pixels, mirrored) and `"shift"` (1 pixel, not mirrored) do not fit.

    Reference:
        Lee, Xie, Gallagher, Zhang, Tu, "Deeply-Supervised Nets", AISTATS 2015,
        arXiv:1409.5185 (padding by 4 and cropping); the standard augmentation of the
        residual and dense networks since.

    Each image is padded on all sides, a window of the old size is cut out at a
    position drawn uniformly from `(2 padding + 1)^2`, and with probability 1/2 the
    result is mirrored left to right.

    Args:
        padding: pixels on each side; less than the image's size where
            `fill="reflect"`.
        flip: whether to mirror.
        fill: value of the new pixels, a number or one a channel, or `"reflect"`.
            Images are normalised before they are augmented, so 0 is the mean
            training pixel, as in the papers on CIFAR. The names of the table use black,
            which is what surrounds the objects of Fashion-MNIST and digits.

    Raises:
        ValueError: for a negative padding or an unknown fill.

    Example:

    ```python
    import numpy as np
    from kzoo import data

    move = data.CropFlip(padding=2, flip=False, fill="reflect")
    images = np.ones((4, 8, 8, 1), "float32")
    print(move(images, np.random.default_rng(0)).shape)  # (4, 8, 8, 1)
    ```
    """

    def __init__(self, padding=4, flip=True, fill=0.0):
        if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
            raise ValueError(f"`padding` must be an integer >= 0. Received: padding={padding!r}")
        if isinstance(fill, str) and fill != "reflect":
            raise ValueError(
                "`fill` must be a number, one number a channel, or 'reflect'. "
                f"Received: fill={fill!r}"
            )
        self.padding = padding
        self.flip = flip
        self.fill = fill

    def __repr__(self):
        return f"CropFlip(padding={self.padding}, flip={self.flip}, fill={self.fill!r})"

    def __call__(self, images, generator):
        """New images from old.

        Args:
            images: array `(batch, height, width, channels)`.
            generator: the `np.random.Generator` of this batch.
        """
        count, height, width, _ = images.shape
        shifts = generator.integers(0, 2 * self.padding + 1, (2, count))
        mirrored = generator.random(count) < 0.5
        windows = np.lib.stride_tricks.sliding_window_view(
            self._pad(images), (height, width), axis=(1, 2)
        )
        # One copy a window is far cheaper than one look-up a pixel.
        images = np.moveaxis(windows, 3, -1)[np.arange(count), shifts[0], shifts[1]]
        if self.flip:
            images[mirrored] = images[mirrored, :, ::-1]
        return images

    def _pad(self, images):
        count, height, width, channels = images.shape
        pad = self.padding
        if self.fill == "reflect":
            return np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
        padded = np.empty((count, height + 2 * pad, width + 2 * pad, channels), images.dtype)
        padded[:] = self.fill
        padded[:, pad : pad + height, pad : pad + width] = images
        return padded
