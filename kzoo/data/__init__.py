"""Image data sets by name."""

from kzoo.data import batch_keys
from kzoo.data.batch_options import BatchOptions
from kzoo.data.class_uniform import ClassUniform
from kzoo.data.crop_flip import CropFlip
from kzoo.data.dataset import Dataset
from kzoo.data.dataset_spec import DatasetSpec
from kzoo.data.digits import digits
from kzoo.data.fashion_mnist import fashion_mnist
from kzoo.data.folder import folder
from kzoo.data.load import load
from kzoo.data.noisy_labels import noisy_labels
from kzoo.data.raw_data import RawData
from kzoo.data.reduced import reduced
from kzoo.data.same_class_pairs import SameClassPairs
from kzoo.data.sequence import Sequence
from kzoo.data.shuffled import Shuffled
from kzoo.data.specialist_blocks import SpecialistBlocks
from kzoo.data.superclass_uniform import SuperclassUniform
from kzoo.data.tfds import tfds

__all__ = [
    "BatchOptions",
    "ClassUniform",
    "CropFlip",
    "Dataset",
    "DatasetSpec",
    "RawData",
    "SameClassPairs",
    "Sequence",
    "Shuffled",
    "SpecialistBlocks",
    "SuperclassUniform",
    "batch_keys",
    "digits",
    "fashion_mnist",
    "folder",
    "load",
    "noisy_labels",
    "reduced",
    "tfds",
]
