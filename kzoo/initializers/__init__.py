"""Weight initialisers."""
