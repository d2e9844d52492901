"""kzoo's own data sets as builders of TensorFlow Datasets.

Importing this module registers `kzoo_digits` and `kzoo_fashion_mnist`, so that
`tensorflow_datasets.load("kzoo_digits")` works, without a network where the files are
there. The names differ from TFDS' own, whose `fashion_mnist` could not be imported
beside one of that name.
"""

import tensorflow_datasets as tfds

from kzoo.data.digits import CLASS_NAMES as DIGITS
from kzoo.data.digits import IMAGE_SHAPE as DIGITS_SHAPE
from kzoo.data.digits import digits
from kzoo.data.fashion_mnist import CLASS_NAMES as CLOTHES
from kzoo.data.fashion_mnist import IMAGE_SHAPE as CLOTHES_SHAPE
from kzoo.data.fashion_mnist import fashion_mnist


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes what one of kzoo's readers returns."""

    VERSION = tfds.core.Version("1.0.0")
    reader, image_shape, class_names, homepage = None, None, None, None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.reader.__doc__,
            homepage=self.homepage,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=self.image_shape),
                    "label": tfds.features.ClassLabel(names=list(self.class_names)),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # kzoo's readers find, download and verify the files.
        raw = self.reader()
        return {
            "train": self._generate_examples(raw.train_images, raw.train_labels),
            "test": self._generate_examples(raw.test_images, raw.test_labels),
        }

    def _generate_examples(self, images, labels):
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": image, "label": int(label)}


class KzooDigits(_Builder):
    """`kzoo.data.digits`; images hold values from 0 to 16."""

    reader = staticmethod(digits)
    image_shape, class_names = DIGITS_SHAPE, DIGITS
    homepage = "https://archive.ics.uci.edu/dataset/80"


class KzooFashionMnist(_Builder):
    """`kzoo.data.fashion_mnist`."""

    reader = staticmethod(fashion_mnist)
    image_shape, class_names = CLOTHES_SHAPE, CLOTHES
    homepage = "https://github.com/zalandoresearch/fashion-mnist"
