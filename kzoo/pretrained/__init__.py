"""The recorded weights: what there is, verified files, loading, recording, downloads."""

from kzoo.pretrained._download import download
from kzoo.pretrained._load import load_weights, verify
from kzoo.pretrained._manifest import Record, available, folder, path, record
from kzoo.pretrained._record import add

__all__ = [
    "Record",
    "add",
    "available",
    "download",
    "folder",
    "load_weights",
    "path",
    "record",
    "verify",
]
