"""Reader of IDX files, the format of the MNIST family."""

import gzip
import hashlib
import math
import pathlib
import zlib

import numpy as np

_GZIP = b"\x1f\x8b"
_UINT8 = 0x08


def read_idx(path: pathlib.Path, shape: tuple[int, ...], sha256: str, mend: str) -> np.ndarray:
    """The array in an IDX file, gzipped or not, checked in every respect.

    Args:
        path: the file.
        shape: what it must hold.
        sha256: of the uncompressed file.
        mend: the sentence that ends each error message.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    content = _uncompressed(path, mend)
    magic = bytes((0, 0, _UINT8, len(shape)))
    if content[:4] != magic:
        raise ValueError(
            f"{path} is not an IDX file of bytes with {len(shape)} axes: expected the magic number "
            f"0x{magic.hex()}, found 0x{content[:4].hex()}. {mend}"
        )
    start = 4 + 4 * len(shape)
    if len(content) < start:
        raise ValueError(f"{path} is truncated: it ends within its header. {mend}")
    found = tuple(np.frombuffer(content, ">u4", len(shape), 4).tolist())
    if len(content) != start + math.prod(found):
        raise ValueError(
            f"{path} is truncated or damaged: its header promises {math.prod(found)} bytes of "
            f"shape {found}, {len(content) - start} follow. {mend}"
        )
    if found != shape:
        raise ValueError(f"{path} holds shape {found}, expected {shape}. {mend}")
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise ValueError(
            f"{path} is not the published file: the SHA-256 of its content is {actual}, expected "
            f"{sha256}. {mend}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _uncompressed(path, mend):
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == _GZIP else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}). {mend}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}). {mend}") from error
