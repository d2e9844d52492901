"""Image classes as folders of image files."""

import pathlib

import numpy as np

from kzoo.data._split import hold_out_test
from kzoo.data.raw_data import RawData
from kzoo.registry import register

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@register("dataset", name="folder", argument="path")
def folder(path, *, data_dir=None, download=True) -> RawData:
    """Images of your own: one folder a class, `load("folder:<path>")`.

    Use it for PNG, JPEG and BMP files of one size; they are held in memory.

    Either `<path>/<class>/<file>`, where a fifth of the images, stratified and always the
    same, becomes the test split; or `<path>/train/<class>/<file>` with or without
    `<path>/test/<class>/<file>`. Classes are numbered in the order of their sorted names.
    Images are grey where all files are, else RGB; transparency is dropped. Other files, hidden
    ones, and folders beside `train` and `test` are left alone.

    Args:
        path: the folder; relative to `data_dir` where that is given.
        data_dir: see `path`.
        download: not used.

    Raises:
        FileNotFoundError: for a folder that does not exist.
        ValueError: for a folder without images, a single class, a file that cannot be
            decoded, or images of differing sizes; the message names the file.
        ImportError: where Pillow is not installed.

    Example:

    ```python
    import pathlib
    import keras
    import numpy as np
    from kzoo import data

    for name, value in (("dark", 10), ("light", 240)):
        pathlib.Path("photos", name).mkdir(parents=True, exist_ok=True)
        for i in range(10):
            image = np.full((8, 8, 3), value + i)
            keras.utils.save_img(f"photos/{name}/{i}.png", image, scale=False)
    dataset = data.load("folder:photos")
    print(dataset.spec.class_names)  # ('dark', 'light')
    ```
    """
    del download
    root = pathlib.Path(data_dir or "", path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}. Give the path of a folder of images.")
    layout = "train" if _folders(root / "train") else "."
    classes = [entry.name for entry in _folders(root / layout)]
    if len(classes) < 2:
        raise ValueError(
            f"{root / layout} needs one folder a class, at least two. Found: "
            f"{', '.join(classes) or 'none'}"
        )
    files, labels = _list(root / layout, classes)
    held_out = ([], [])
    if layout == "train" and _folders(root / "test"):
        held_out = _list(root / "test", classes)
    images = _read(files + held_out[0])
    labels = np.array(labels + held_out[1])
    cut = len(files)
    parts = (images[:cut], labels[:cut], images[cut:], labels[cut:])
    return RawData(
        *(parts if held_out[0] else hold_out_test(images, labels)),
        class_names=tuple(classes),
        source=f"image folder {root.name}",
    )


def _folders(path):
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _list(root, classes):
    """Image files below `root` and their labels."""
    unknown = {entry.name for entry in _folders(root)} - set(classes)
    if unknown:
        raise ValueError(
            f"{root} has classes that the training images lack: {', '.join(sorted(unknown))}. "
            f"Known: {', '.join(classes)}"
        )
    files, labels = [], []
    for label, name in enumerate(classes):
        found = [
            file
            for file in sorted((root / name).rglob("*"))
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        ]
        if not found:
            raise ValueError(
                f"{root / name} holds no image ({', '.join(SUFFIXES)}). Add some, or remove "
                "the folder."
            )
        files += found
        labels += [label] * len(found)
    return files, labels


def _read(files):
    """One array of all images, in grey where all are grey."""
    try:
        import PIL.Image
    except ImportError as error:
        raise ImportError(
            "Image folders are read with Pillow, which is not installed: `pip install pillow`."
        ) from error
    images = [_decode(file, PIL.Image) for file in files]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            raise ValueError(
                f"All images must have one size: {files[0]} has {images[0].shape[:2]}, {file} has "
                f"{image.shape[:2]} (height, width). Resize them first."
            )
    channels = max(image.shape[2] for image in images)
    return np.stack([np.broadcast_to(i, (*i.shape[:2], channels)) for i in images])


def _decode(file, pillow):
    try:
        with pillow.open(file) as image:
            image.load()
            grey = image.mode in ("1", "L", "LA")
            if not grey and image.mode[0] in "IF":
                raise ValueError(f"its pixels are of mode {image.mode}, not 8 bits a channel")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise ValueError(f"{file} cannot be decoded ({error}). Replace or remove it.") from error
    return pixels[..., np.newaxis] if grey else pixels
