"""Put a finished file or folder in its place, or nothing."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def place(target: pathlib.Path, *, overwrite: bool):
    """Give a path to write to, beside `target`; move it there when the block ends well.

    Where the block raises, nothing is left and what was at `target` stays.

    Raises:
        FileExistsError: where something is at `target` and `overwrite` is false.
        OSError: in one line, where the folder cannot be written.
    """
    check_free(target, overwrite=overwrite)
    made = _make_parents(target)
    try:
        with _temporary(target.parent) as folder:
            yield folder / target.name
            with _readable_errors(target):
                _move(folder / target.name, target, folder / "old")
    except BaseException:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def check_free(target: pathlib.Path, *, overwrite: bool) -> None:
    """Refuse a target that exists, but for an empty folder, or an old export to replace."""
    with _readable_errors(target):
        if not target.exists() or (target.is_dir() and not any(target.iterdir())):
            return
        if not overwrite:
            raise FileExistsError(
                f"{target} exists already. Choose another path, or pass overwrite=True."
            )
        if target.is_dir() and not (target / "saved_model.pb").is_file():
            raise FileExistsError(
                f"{target} is a folder that holds no SavedModel, so it is not replaced. "
                "Choose another path."
            )


def _make_parents(target):
    """Make the missing folders above the target and return them, the deepest first."""
    missing = [parent for parent in target.parents if not parent.exists()]
    with _readable_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    return missing


@contextlib.contextmanager
def _temporary(parent):
    with _readable_errors(parent):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=".export-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(source, target, old):
    if not target.exists():
        os.replace(source, target)
        return
    os.replace(target, old)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(old, target)
        raise


@contextlib.contextmanager
def _readable_errors(target):
    try:
        yield
    except FileExistsError as error:
        if error.errno is None:
            raise
        raise _readable(target, error) from error
    except OSError as error:
        raise _readable(target, error) from error


def _readable(target, error):
    return type(error)(
        f"Cannot write {target} ({error.strerror or error}). "
        "Choose a folder that can be written and has room."
    )
