"""`python -m kzoo.cli`."""

from kzoo.cli import app

app()
