"""What `evaluate` shows of a trainer: never a term, but all that comes out of it."""

from kzoo.trainers._state import State


class Evaluation(State):
    """A model whose `evaluate` leaves out the terms and shows what `measure` finds.

    Methods from which several classifiers come out (networks, heads, exits) name them in `measured`
    and implement `measure`; in training they `log` the same names.
    """

    def measure(self, x, y):
        """Values to show beside the compiled loss and metrics, in inference mode.

        Returns:
            `{name: scalar or one value a sample}`, the names those of `measured`.
        """
        return {}

    def measure_batch(self, x, y):
        """Add a batch to the means of what is measured; the means so far."""
        found = self.measure(x, y) if self.measured else {}
        for name, value in found.items():
            self.log(name, value, x)
        return {name: self._trackers.result(name) for name in found}

    def without_terms(self, logs):
        """The logs of Keras' test step, which holds a value for each mean."""
        return {name: value for name, value in logs.items() if name not in self._trackers}

    def get_metrics_result(self):
        """As in Keras, without compiled metrics that no prediction has reached yet."""
        compiled = self._compile_metrics
        if compiled is None or compiled.built:
            return super().get_metrics_result()
        return {mean.name: mean.result() for mean in self.metrics if mean is not compiled}

    def _get_metrics_result_or_logs(self, logs):
        # Keras takes the means of all replicas where `logs` holds every metric's name;
        # after a test step the terms are missing from it.
        results = self.get_metrics_result()
        known = set(logs) <= set(results)
        return {name: results[name] for name in logs} if known else logs
