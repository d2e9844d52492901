"""Running means of named values: the terms of the loss and what is logged beside them."""

import contextlib

import keras


class Trackers:
    """Named means that live beside Keras' own metrics.

    A plain object, so that Keras neither tracks it (a built model refuses new state,
    and the names are known at the first batch only) nor saves it.

    Args:
        names: those that are known before the first batch.
    """

    def __init__(self, names=()):
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self._terms = set()
        self._seen = None
        self.known = False

    @property
    def metrics(self):
        """The means, in the order in which their names first came up."""
        return list(self._means.values())

    @property
    def names(self):
        """All names."""
        return list(self._means)

    @property
    def terms(self):
        """The names of what sums to the loss."""
        return [name for name in self._means if name in self._terms]

    def __contains__(self, name):
        return name in self._means

    def result(self, name):
        """The mean so far."""
        return self._means[name].result()

    def count(self, name):
        """Over how many samples a mean is taken so far."""
        return float(keras.ops.convert_to_numpy(self._means[name].count))

    def update(self, name, value, weight, create, term=False):
        """Add a value to the mean `name`; `create` is the scope in which new ones are made."""
        if term:
            self._terms.add(name)
        if self._seen is not None:
            self._seen[name] = None
            return
        if name not in self._means:
            with create():
                self._means[name] = keras.metrics.Mean(name=name)
        self._means[name].update_state(value, sample_weight=weight)

    @contextlib.contextmanager
    def discover(self):
        """Only note the names inside; make their means at the end."""
        self._seen = {}
        try:
            yield
            for name in self._seen:
                self._means.setdefault(name, keras.metrics.Mean(name=name))
            self.known = True
        finally:
            self._seen = None
