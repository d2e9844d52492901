"""Which names a step logs, found without running it."""

import keras


def discover_names(trainer, data):
    """Make the means of everything that a step on such data logs, by tracing it on symbols."""
    symbols = keras.tree.map_structure(
        lambda t: None if t is None else keras.KerasTensor(t.shape, _dtype(t)), data
    )
    batch = keras.utils.unpack_x_y_sample_weight(symbols)
    with trainer._trackers.discover():
        _Probe(trainer).compute_output_spec(*batch)


class _Probe(keras.Operation):
    def __init__(self, trainer):
        super().__init__(name="step")
        self.trainer = trainer

    def call(self, *batch):
        # In a scope that keeps what layers add to the loss, as training does: it is a term too.
        with keras.StatelessScope(collect_losses=True):
            return sum(self.trainer.run_update(u, *batch)[1] for u in self.trainer.updates())


def _dtype(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)
