"""Fashion-MNIST from its four IDX files."""

import os
import pathlib

import numpy as np

from kzoo import pretrained
from kzoo.data._idx import read_idx
from kzoo.data.raw_data import RawData
from kzoo.registry import register

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_SHAPE = (28, 28, 1)
# Shape, SHA-256 of the content, SHA-256 of the gzipped file as published.
FILES = {
    "train-images-idx3-ubyte": (
        (60000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train-labels-idx1-ubyte": (
        (60000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "t10k-images-idx3-ubyte": (
        (10000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "t10k-labels-idx1-ubyte": (
        (10000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_MEND = (
    "Install the Debian package dataset-fashion-mnist (`apt install dataset-fashion-mnist`), or "
    "set KZOO_DATA_DIR to a folder with the four published files."
)
_REPLACE = "Replace it with the published file, or delete it."


@register(
    "dataset",
    name="fashion_mnist",
    aliases=("FashionMNIST", "fashion-mnist"),
    paper="arXiv:1708.07747",
)
def fashion_mnist(*, data_dir=None, download=True) -> RawData:
    """60,000 + 10,000 images of clothes in ten classes, 28 x 28 pixels, grey.

    Use it as the small real-world benchmark: it is as handy as MNIST, and a good
    network still errs on one image in twenty.

    Reference:
        Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
        Machine Learning Algorithms", 2017, arXiv:1708.07747.

    The four files, gzipped or not, are looked for in `KZOO_DATA_DIR`, the folder for
    manual downloads of TensorFlow Datasets, the Debian package
    `dataset-fashion-mnist` and the cache that `keras.datasets.fashion_mnist` uses, also
    in a sub-folder `fashion-mnist`; else they are downloaded into that cache. Magic
    numbers, shapes, sizes and the SHA-256 of the contents are verified.

    Args:
        data_dir: a folder that must hold the four files; nowhere else is looked then.
        download: whether to download what is not found. Without a network this fails
            within 10 seconds.

    Raises:
        FileNotFoundError: where a file is missing, and may not be downloaded.
        ConnectionError: where it cannot be downloaded.
        ValueError: for a truncated or otherwise wrong file, which is named.
    """
    folder, source = _find(data_dir)
    if folder is None and data_dir is None and download:
        folder, source = _download(), f"downloaded from {URL}"
    if folder is None:
        looked = data_dir or "KZOO_DATA_DIR and the usual folders"
        raise FileNotFoundError(f"The files of Fashion-MNIST are not in {looked}. {_MEND}")
    arrays = [
        read_idx(_file(folder, name), shape, sha256, _REPLACE)
        for name, (shape, sha256, _) in FILES.items()
    ]
    return RawData(
        arrays[0][..., np.newaxis],
        arrays[1],
        arrays[2][..., np.newaxis],
        arrays[3],
        class_names=CLASS_NAMES,
        source=source,
    )


def _places(data_dir):
    """Folders to look in, each with the words that name it in results."""
    if data_dir is not None:
        return [(pathlib.Path(data_dir), "IDX files in data_dir")]
    places = [(DEBIAN, "Debian package dataset-fashion-mnist"), (_cache(), "Keras' cache")]
    tfds = os.environ.get("TFDS_DATA_DIR") or pathlib.Path.home() / "tensorflow_datasets"
    places.insert(0, (pathlib.Path(tfds) / "downloads" / "manual", "TFDS manual folder"))
    if own := os.environ.get("KZOO_DATA_DIR"):
        places.insert(0, (pathlib.Path(own), "IDX files in KZOO_DATA_DIR"))
    return places


def _cache():
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    return pathlib.Path(home) / "datasets" / "fashion-mnist"


def _find(data_dir):
    for place, source in _places(data_dir):
        for folder in (place.expanduser(), place.expanduser() / "fashion-mnist"):
            missing = [name for name in FILES if not _file(folder, name).is_file()]
            # A download that was interrupted leaves some files in the cache: it goes on.
            if missing and len(missing) < len(FILES) and folder != _cache():
                raise FileNotFoundError(
                    f"{folder} lacks {', '.join(missing)} (with or without .gz). Add what is "
                    "missing, or remove the other files of Fashion-MNIST."
                )
            if not missing:
                return folder, source
    return None, None


def _file(folder, name):
    zipped = folder / f"{name}.gz"
    return zipped if zipped.is_file() else folder / name


def _download():
    try:
        for name, (_, _, sha256) in FILES.items():
            pretrained.download(
                f"{URL}{name}.gz", sha256=sha256, cache_subdir="datasets/fashion-mnist"
            )
    except ConnectionError as error:
        raise ConnectionError(f"Could not download Fashion-MNIST from {URL}. {_MEND}") from error
    return _cache()
