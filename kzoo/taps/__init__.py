"""Features have names: read any feature of any Keras model without editing the model."""

from kzoo.taps._cut import cut, join
from kzoo.taps._extractor import Extractor, available, extractor
from kzoo.taps._normalization import normalization_before
from kzoo.taps._reach import variables_before

__all__ = [
    "Extractor",
    "available",
    "cut",
    "extractor",
    "join",
    "normalization_before",
    "variables_before",
]
