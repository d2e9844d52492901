"""Keras models whose `fit` trains other models."""
