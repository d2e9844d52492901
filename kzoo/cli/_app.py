"""The application object, the consoles and how errors are shown."""

import functools
import logging
from typing import Annotated

import rich.console
import typer

# Its notes on retracing are about the way several models are trained in one process.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

app = typer.Typer(
    name="kzoo",
    help="Compact image classifiers for Keras 3 and the methods that train them well.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = rich.console.Console()
errors = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)

Model = Annotated[
    str,
    typer.Argument(
        help="recorded model (see `kzoo list weights`), folder of a run, or .keras file"
    ),
]


def one_line_errors(command):
    """What the user can mend is one line on stderr and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError, ImportError) as error:
            errors.print(f"kzoo: {' '.join(str(error).split())}", markup=False)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            errors.print("kzoo: stopped. Run the same command again to continue.")
            raise typer.Exit(130) from None

    return wrapped
