"""Files that are either the old ones or the new ones, never half of one."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def whole_file(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a path beside `path` to write to; when the block ends well, rename it to `path`.

    The content is flushed to the disk before the renaming, so a kill or a power cut at any
    moment leaves the old file or the new one. Where the block raises, what it wrote is removed
    and the old file stays. Missing folders are made.

    Args:
        path: the file to be.

    Yields:
        The path to write to. It ends like `path`, because some writers look at the suffix.

    Raises:
        OSError: where the folder cannot be written or the disk is full.

    Example:

    ```python
    from kzoo.whole_file import whole_file

    with whole_file("notes.txt") as unfinished:
        unfinished.write_text("all of it")
    ```
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that write the same file must not share the unfinished one.
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        yield unfinished
        _flush(unfinished, os.O_RDWR)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the only systems that can make the renaming itself durable
        _flush(path.parent, os.O_RDONLY)


def _flush(path, mode):
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
