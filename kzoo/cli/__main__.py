"""`python -m kzoo.cli`."""

from kzoo.cli import app

# A process of `--jobs` imports this module under another name.
if __name__ == "__main__":
    app()
