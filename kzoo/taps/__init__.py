"""Features have names: read any feature of any Keras model without editing the model."""

from kzoo.taps._extractor import Extractor, available, extractor

__all__ = ["Extractor", "available", "extractor"]
