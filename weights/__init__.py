"""The recorded weights, installed as the data package `kzoo.weights`."""
