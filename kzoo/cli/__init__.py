"""The command line: one file a command; heavy imports stand inside, so `--help` is fast."""

# Importing a command registers it.
from kzoo.cli import check, evaluate, export, list, report, show, train  # noqa: F401
from kzoo.cli._app import app

__all__ = ["app"]
