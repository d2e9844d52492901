"""Fetch a file once, verified, without ever hanging."""

import contextlib
import hashlib
import http.client
import os
import pathlib
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request

from kzoo.whole_file import whole_file

_CHUNK = 1 << 20


def download(
    url: str,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    timeout: float = 10,
    cache_subdir: str = "models",
    file_name: str | None = None,
) -> pathlib.Path:
    """Fetch a file into Keras' cache folder, or find it there.

    The cache is `$KERAS_HOME`, else `~/.keras`, as Keras has it. A file that lies
    there already is verified and returned, so an offline machine needs no more than
    a copy of the file in the right place; the error message says which.

    Args:
        url: where the file is.
        sha256: its checksum.
        md5: its checksum, where the source publishes no better one.
        timeout: seconds to wait for the connection and for each next piece.
        cache_subdir: folder in the cache.
        file_name: name in the cache; the last part of the URL by default.

    Returns:
        The path of the verified file.

    Raises:
        ConnectionError: in one line, where nothing comes within `timeout` seconds.
        ValueError: where the checksum is wrong.
    """
    name = file_name or pathlib.PurePosixPath(urllib.parse.urlsplit(url).path).name
    if not name:
        raise ValueError(f"The URL names no file, so `file_name` is needed. Received: url={url!r}")
    home = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras")
    target = home / cache_subdir / name
    if target.is_file():
        _check(target, target, sha256, md5, "Delete it and run this again.")
        return target
    try:
        with whole_file(target) as unfinished:
            with open(unfinished, "wb") as stream:
                for chunk in _chunks(url, timeout, target):
                    stream.write(chunk)
            _check(unfinished, url, sha256, md5, f"Try again, or put the right file at {target}.")
    except ConnectionError:
        raise
    except OSError as error:
        raise OSError(
            f"Cannot write into the cache {target.parent} ({error.strerror}). Name a folder that "
            "can be written, and has room, with the environment variable KERAS_HOME."
        ) from error
    return target


def _chunks(url, timeout, target):
    """Pieces of the file. A thread fetches, because looking up a host knows no timeout."""
    pieces = queue.Queue(maxsize=4)
    arguments = (url, timeout, pieces)
    threading.Thread(target=_fetch, args=arguments, name="kzoo-download", daemon=True).start()
    while True:
        try:
            piece = pieces.get(timeout=timeout)
        except queue.Empty:
            piece = TimeoutError(f"nothing received for {timeout:g} seconds")
        if isinstance(piece, Exception):
            raise ConnectionError(
                f"Could not fetch {url} ({_reason(piece)}). Without a network, put the file at "
                f"{target}, or give the path of a file you have instead of the name."
            ) from piece
        if not piece:
            return
        yield piece


def _fetch(url, timeout, pieces):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            expected, received = response.headers.get("Content-Length"), 0
            while piece := response.read(_CHUNK):
                received += len(piece)
                pieces.put(piece, timeout=60)
            if expected is not None and received != int(expected):
                raise OSError(f"received {received} of {expected} bytes")
        pieces.put(b"", timeout=60)
    except queue.Full:
        return  # nobody is waiting any more
    except (OSError, ValueError, http.client.HTTPException) as error:
        with contextlib.suppress(queue.Full):
            pieces.put(error, timeout=60)


def _reason(error):
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__


def _check(file, shown, sha256, md5, mend):
    for algorithm, expected in (("sha256", sha256), ("md5", md5)):
        if expected is None:
            continue
        with open(file, "rb") as stream:
            actual = hashlib.file_digest(stream, algorithm).hexdigest()
        if actual != expected.lower():
            raise ValueError(
                f"{shown} is not the expected file: its {algorithm} is {actual}, "
                f"expected {expected}. {mend}"
            )
