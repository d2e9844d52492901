"""Load a data set by name."""

import os

from kzoo import registry
from kzoo.data.dataset import Dataset


def load(
    name: str,
    *,
    validation_fraction: float = 0.1,
    train_size: int | None = None,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
) -> Dataset:
    """Load a data set by name.

    Use it wherever images are needed; `kzoo list dataset` shows the names.

    Args:
        name: `"digits"`, `"fashion_mnist"`, `"tfds:<name>"`, `"folder:<path>"`, or the
            name of a function that you registered with
            `@kzoo.registry.register("dataset", name=...)`.
        validation_fraction: share of the training images that becomes the validation
            split, stratified, in [0, 1).
        train_size: number of training images to keep, a fixed stratified subset, or
            `None` for all. The validation split does not depend on it.
        seed: of the validation split and the subset.
        data_dir: where the files are; each data set has its own default.
        download: whether the network may be used. An attempt never hangs: where
            nobody answers, it fails within 10 seconds and says what to do.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: for an unknown name (near ones are offered), a number out of range,
            or bad files (the file is named).

    Example:

    ```python
    from kzoo import data

    dataset = data.load("digits", validation_fraction=0.2, train_size=500)
    print(dataset.spec.sizes)  # {'train': 500, 'validation': 287, 'test': 360}
    ```
    """
    kind, colon, argument = str(name).partition(":")
    entry = registry.get("dataset", kind)
    wanted = entry.facts.get("argument")
    if bool(wanted) != bool(argument) or (colon and not argument):
        expected = f"{entry.name}:<{wanted}>" if wanted else entry.name
        raise ValueError(f"Write the name of this data set as {expected!r}. Received: {name!r}")
    arguments = (argument,) if wanted else ()
    raw = entry.target(*arguments, data_dir=data_dir, download=download)
    return Dataset(
        f"{entry.name}:{argument}" if wanted else entry.name,
        raw,
        validation_fraction=validation_fraction,
        train_size=train_size,
        seed=seed,
    )
