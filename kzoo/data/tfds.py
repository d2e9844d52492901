"""Any image classification data set of TensorFlow Datasets."""

import difflib
import importlib

import numpy as np

from kzoo.data._network import unreachable
from kzoo.data._split import hold_out_test
from kzoo.data.raw_data import RawData
from kzoo.registry import register

_SCALES = {"uint8": 255.0, "uint16": 65535.0}


@register("dataset", name="tfds", argument="name")
def tfds(name, *, data_dir=None, download=True) -> RawData:
    """Any image classification data set of TensorFlow Datasets, `load("tfds:<name>")`.

    Use it for the hundreds of sets with one image size and one label an image, such as
    `tfds:cifar10`, `tfds:mnist`, or `tfds:svhn_cropped`; they are held in memory. `kzoo_digits`
    and `kzoo_fashion_mnist` are kzoo's own builders and need no network.

    The test split is the published `test`, else the published `validation`, else a
    fifth of `train`, stratified and always the same.

    Args:
        name: as `tensorflow_datasets.load` takes it, with config and version.
        data_dir: where prepared data sets lie; TFDS' own default where `None`.
        download: whether a set that was not prepared is downloaded and prepared. Where
            its host does not answer, this fails within 10 seconds.

    Raises:
        ImportError: where TensorFlow Datasets is not installed.
        ConnectionError: where the host of the set cannot be reached.
        ValueError: for an unknown name, or a set that holds no labelled images of one size.
    """
    library = _library()
    builder = _builder(library, name, data_dir)
    image, label = _features(name, builder.info)
    _prepare(library, builder, name, download)
    splits = builder.info.splits
    test = next((split for split in ("test", "validation") if split in splits), None)
    if "train" not in splits:
        raise ValueError(f"tfds:{name} has no `train` split. It has: {', '.join(splits)}")
    parts = _read(library, builder, "train", image, label)
    return RawData(
        *(
            (*parts, *_read(library, builder, test, image, label))
            if test
            else hold_out_test(*parts)
        ),
        class_names=tuple(builder.info.features[label].names),
        source=f"TensorFlow Datasets {builder.info.full_name}",
        scale=_SCALES.get(parts[0].dtype.name, 1.0),
    )


def _library():
    try:
        library = importlib.import_module("tensorflow_datasets")
        importlib.import_module("kzoo.data.builders")
    except ImportError as error:
        raise ImportError(
            "`tfds:` data sets need tensorflow and tensorflow-datasets (with importlib_resources), "
            "not all of which are installed: `pip install tensorflow tensorflow-datasets "
            "importlib_resources`."
        ) from error
    library.disable_progress_bar()
    return library


def _builder(library, name, data_dir):
    try:
        return library.builder(name, data_dir=data_dir)
    except library.core.registered.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, library.list_builders())
        raise ValueError(
            f"TensorFlow Datasets has no {name!r}. Near names: {', '.join(near) or 'none'}; "
            "`tensorflow_datasets.list_builders()` lists all."
        ) from error


def _features(name, info):
    """The keys of image and label."""
    keys = info.supervised_keys
    flat = isinstance(keys, tuple) and len(keys) == 2 and all(isinstance(key, str) for key in keys)
    shape = info.features[keys[0]].shape if flat else ()
    names = getattr(info.features[keys[1]], "names", None) if flat else None
    if len(shape) != 3 or not names:
        raise ValueError(
            f"tfds:{name} is no image classification data set: expected the supervised keys "
            f"(image, label). It has: {keys}"
        )
    if None in shape:
        raise ValueError(
            f"The images of tfds:{name} differ in size: their shape is {shape}. Resize them into "
            "an image folder and load `folder:<path>`."
        )
    return keys


def _prepare(library, builder, name, download):
    if builder.is_prepared():
        return
    if not download:
        raise FileNotFoundError(
            f"tfds:{name} is not prepared in {builder.data_path.parent}. Allow `download=True`, or "
            "give the `data_dir` where it is."
        )
    url = next(iter(builder.url_infos or ()), None)
    if url is not None and (reason := unreachable(url)):
        raise ConnectionError(
            f"Could not reach the host of tfds:{name}, {url} ({reason}). Prepare it on a machine "
            "with a network, copy the folder, and give its parent as `data_dir`."
        )
    builder.download_and_prepare()


def _read(library, builder, split, image, label):
    dataset = builder.as_dataset(split=split, batch_size=-1, shuffle_files=False)
    arrays = library.as_numpy(dataset)
    return np.asarray(arrays[image]), np.asarray(arrays[label])
