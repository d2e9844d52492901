"""The base class of everything in kzoo whose `fit` trains a model."""

import functools
import importlib
import inspect
import warnings

import keras
from keras import ops

from kzoo.trainers._diagnosis import with_diagnosis
from kzoo.trainers._discovery import discover_names
from kzoo.trainers._evaluation import Evaluation
from kzoo.trainers._state import call_unchanged
from kzoo.trainers._terms import batch_size, reduce_term, regularization
from kzoo.trainers.player_optimizers import check_players
from kzoo.trainers.update import Update


class Trainer(Evaluation):
    """Base class of the training methods: a method says what it minimises, this does the rest.

    Subclass it to write a method of your own. With one optimiser, implement
    `compute_terms`; with several players override `updates`, and compile with
    `PlayerOptimizers`. The base sums the terms, adds what regularisers and `add_loss`
    of the trained models ask for (the term `regularization`), scales, differentiates,
    applies and logs, on TensorFlow, JAX and torch alike. Implement `call` too: it is
    what `predict` and `evaluate` run.

    All that `compile` and `fit` of a Keras model do works here: metrics, `sample_weight`,
    `class_weight`, several outputs, `steps_per_execution`, `run_eagerly`, mixed
    precision, distribution strategies, callbacks.

    Models that only run, never train (teachers) are handed to `freeze` and called by
    `call_frozen`. They are never changed: neither weights nor statistics nor their
    `trainable`; they are no layers of the trainer.

    The terms of an update must be made with what exists after `build`. The loss is
    their sum over all updates. With several players the name of a term is
    `<player>_<term>` in the logs.

    Args:
        **kwargs: those of `keras.Model`.

    Raises:
        ValueError: at the first batch, for an update without terms or without
            variables, and for several players under one optimiser.

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    class Plain(kzoo.trainers.Trainer):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def call(self, x, training=None):
            return self.model(x, training=training)

        def compute_terms(self, x, y, sample_weight, training):
            y_pred = self.model(x, training=training)
            return y_pred, {"task_loss": self.task_loss(y, y_pred, sample_weight)}

    trainer = Plain(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    trainer.compile("sgd", "mse")
    trainer.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
    ```
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._fitting = False
        self._samples = {}

    # What a method says.

    def compute_terms(self, x, y, sample_weight, training):
        """The terms of a method with one optimiser.

        Returns:
            `(y_pred, {name: scalar or one value per sample})`. Values per sample are
            weighted by `sample_weight` and averaged by the base; scalars are taken as
            they are.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement `compute_terms` or override `updates`."
        )

    def updates(self):
        """The updates of one batch, in order: one, named `"model"`, unless overridden."""
        return [Update("model", self.compute_terms, self.trainable_variables)]

    def players(self):
        """Which optimiser moves what, player -> variables: one for each update by default."""
        return {update.name: update.variables for update in self.updates()}

    def diagnose(self, logs, ignore=()):
        """Warn about what the first epoch shows. Called once in each `fit`.

        Args:
            logs: the first epoch's logs.
            ignore: names of terms that may be zero.
        """
        for name in self.term_names:
            if name not in ignore and logs.get(name) == 0.0:
                warnings.warn(
                    f"The term {name!r} was exactly 0 for a whole epoch, so it trains nothing. "
                    "Check its weight and what it compares.",
                    stacklevel=2,
                )

    # What a method uses.

    def task_loss(self, y, y_pred, sample_weight=None):
        """The loss given to `compile`, as a scalar; `None` where none was given."""
        if self._compile_loss is None:
            return None
        return self._compile_loss(y, y_pred, sample_weight) * float(_backend().replicas())

    def call_frozen(self, model, x, batch_statistics=False):
        """Outputs of a frozen model, without gradient.

        Args:
            model: the model.
            x: its inputs.
            batch_statistics: whether it runs in training mode; what that would change in
                it (moving statistics, seeds) is thrown away.
        """
        with _backend().no_gradients():
            outputs = call_unchanged(model, x) if batch_statistics else model(x, training=False)
        return keras.tree.map_structure(ops.stop_gradient, outputs)

    def strategy_scope(self):
        """The scope in which models of the same replicas as this one are made."""
        return _backend().strategy_scope(self)

    def log(self, name, value, x):
        """Log the mean of a value over the epoch, beside the terms: it is no part of the loss."""
        value = reduce_term(value, None)
        self._trackers.update(name, value, batch_size(x), _backend().create)

    def samples_of(self, name):
        """Over how many samples of the first epoch a logged mean was taken."""
        return max(self._trackers.count(name), self._samples.get(name, 0.0))

    def note_samples(self):
        """Remember that, before validation sets the means back."""
        self._samples = {name: self._trackers.count(name) for name in self._trackers.names}

    # What Keras sees.

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        """As in Keras."""
        call = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        call["callbacks"] = with_diagnosis(call.get("callbacks"), self)
        call.pop("self")
        check_players(self)
        self._fitting = True
        try:
            return super().fit(**call)
        finally:
            self._fitting = False

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args, **kwargs):
        """As in Keras."""
        check_players(self)
        self._fitting = True
        try:
            return super().train_on_batch(*args, **kwargs)
        finally:
            self._fitting = False

    def train_step(self, *args):
        """One batch, by the backend's loop."""
        return _backend().train_step(self, *args)

    def test_step(self, *args):
        """As in Keras: the compiled loss of `call`, no terms, no frozen model; and `measure`."""
        return _backend().test_step(self, *args)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The compiled loss and that of the layers; 0 where there is neither."""
        if self._compile_loss is None and not self.losses:
            return ops.zeros(())
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    # What the backends' loops call.

    def ensure_built(self, x):
        """Create what is not there yet; on JAX Keras has done it before the first step."""
        if not self.built or not self.optimizer.built:
            with _backend().create():
                if not self.built:
                    self.build(keras.tree.map_structure(lambda t: tuple(t.shape), x))
                self.optimizer.build(self.trainable_variables)

    def run_update(self, update, x, y, sample_weight):
        """Terms of one update: their sum, logged by name."""
        self._clear_losses()
        y_pred, terms = update.terms(x, y, sample_weight, True)
        terms = {n: reduce_term(t, sample_weight) for n, t in terms.items() if t is not None}
        terms |= regularization(self, update)
        if not terms or not update.variables:
            raise ValueError(
                f"The update {update.name!r} of {type(self).__name__} has nothing to train. "
                f"Expected terms and trainable variables. Received: terms={list(terms)}, "
                f"{len(update.variables)} variables. Give compile() a `loss`, a weight above 0, "
                "or set `trainable = True` on the model."
            )
        prefix = f"{update.name}_" if len(self.updates()) > 1 else ""
        size = batch_size(x)
        for name, term in terms.items():
            self._trackers.update(prefix + name, term, size, _backend().create, term=True)
        return y_pred, sum(terms.values())

    def log_step(self, x, y, sample_weight, y_pred, loss):
        """Update the means and the metrics; return the logs."""
        self._loss_tracker.update_state(loss, sample_weight=batch_size(x))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _symbolic_build(self, iterator=None, data_batch=None):
        # Keras builds everything here before the first step. The names of the terms are
        # not known before `compute_terms` has run, so it runs once on symbols.
        if data_batch is None and self._names_are_missing():
            _, _, data = next(iter(iterator))
            data_batch = data[0] if isinstance(data, list | tuple) else next(data)
        super()._symbolic_build(iterator=iterator, data_batch=data_batch)
        self._discover(data_batch)

    def _names_are_missing(self):
        return self._fitting and _backend().DISCOVER and not self._trackers.known

    def _discover(self, data_batch):
        if self._names_are_missing():
            discover_names(self, data_batch)


def _backend():
    return importlib.import_module(f"kzoo.trainers._{keras.backend.backend()}")
