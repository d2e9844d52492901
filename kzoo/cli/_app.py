"""The application object, the consoles and how errors are shown."""

import contextlib
import functools
import logging
import os
import sys
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rich.console
import typer

app = typer.Typer(
    name="kzoo",
    help="Compact image classifiers for Keras 3 and the methods that train them well.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = rich.console.Console()
errors = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)

Model = Annotated[
    str, typer.Argument(help="recorded model (see `kzoo list weights`), or a .keras file")
]


def one_line_errors(command):
    """What the user can mend is one line on stderr and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            _import_keras_quietly()
            return command(*args, **kwargs)
        except (ValueError, OSError, ImportError) as error:
            errors.print(f"kzoo: {' '.join(str(error).split())}", markup=False)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            errors.print("kzoo: stopped. Run the same command again to continue.")
            raise typer.Exit(130) from None

    return wrapped


def _import_keras_quietly():
    """Import Keras without the notes that TensorFlow writes to the terminal meanwhile."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if "keras" in sys.modules:
        return
    with open(os.devnull, "wb") as nowhere, contextlib.ExitStack() as stack:
        sys.stderr.flush()
        kept = os.dup(2)
        stack.callback(os.close, kept)
        stack.callback(os.dup2, kept, 2)
        os.dup2(nowhere.fileno(), 2)
        import keras  # noqa: F401
