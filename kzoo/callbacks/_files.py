"""Files that are either the old ones or the new ones, never half of one."""

import hashlib
import os


def write(folder, name, fill):
    """Write a file under another name, flush it to the disk, then rename it.

    Args:
        folder: where it goes.
        name: the file's final name; `{digest}` in it becomes the first half of the sha256.
        fill: function that writes the content into an open binary file.

    Returns:
        The final name and the sha256.
    """
    temporary = folder / "unfinished.tmp"
    try:
        with open(temporary, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        name = name.format(digest=digest[:32])
        os.replace(temporary, folder / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(folder)
    return name, digest


def _flush_folder(folder):
    """Make the renaming itself durable; only POSIX systems can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
