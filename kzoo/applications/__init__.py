"""Constructors of compact image classifiers."""
