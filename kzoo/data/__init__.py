"""Image data sets by name."""

from kzoo.data.crop_flip import CropFlip
from kzoo.data.dataset import Dataset
from kzoo.data.dataset_spec import DatasetSpec
from kzoo.data.digits import digits
from kzoo.data.fashion_mnist import fashion_mnist
from kzoo.data.folder import folder
from kzoo.data.load import load
from kzoo.data.raw_data import RawData
from kzoo.data.sequence import Sequence
from kzoo.data.tfds import tfds

__all__ = [
    "CropFlip",
    "Dataset",
    "DatasetSpec",
    "RawData",
    "Sequence",
    "digits",
    "fashion_mnist",
    "folder",
    "load",
    "tfds",
]
