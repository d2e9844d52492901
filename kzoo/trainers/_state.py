"""What a trainer holds beside what Keras tracks, and how Keras is shown it."""

import keras

from kzoo.trainers._trackers import Trackers
from kzoo.trainers.player_optimizers import for_each_player, players_of


class State(keras.Model):
    """A model with frozen models, means of named terms, an optimiser of several players, and seeds.

    Args:
        **kwargs: those of `keras.Model`.
    """

    # Names of what `measure` gives.
    measured = ()
    # Whether one optimiser stands for a copy of it for each player.
    copies_optimizer = False

    def __init__(self, **kwargs):
        # Inputs reach the trained model as they were given, as in its own `fit`.
        super().__init__(autocast=False, **kwargs)
        self._trackers = Trackers()
        self._hidden = _Hidden()

    def freeze(self, model):
        """Register a model that only runs; its variables stay those of the caller."""
        self._hidden.models.append(model)

    @property
    def optimizer(self):
        """The optimiser given to `compile`."""
        if "compiled_with" not in self._hidden.__dict__:
            raise AttributeError(f"{type(self).__name__} has no optimizer before compile().")
        return self._hidden.compiled_with

    @optimizer.setter
    def optimizer(self, optimizer):
        if self.copies_optimizer:
            optimizer = for_each_player(optimizer, list(self.players()))
        self._hidden.compiled_with = optimizer
        self._trackers = Trackers(self.measured)  # other losses have other terms
        if (players := players_of(optimizer)) is not None:
            players.assign_groups(lambda: self.players())

    @property
    def metrics(self):
        """Keras' metrics and the means of terms and logged values."""
        return [*super().metrics, *self._trackers.metrics]

    @property
    def term_names(self):
        """Names of the terms that the steps so far have summed to the loss."""
        return self._trackers.terms

    @property
    def non_trainable_variables(self):
        """Those of Keras and those of the frozen models, which the JAX state must carry."""
        own = super().non_trainable_variables
        seen = {id(v) for v in (*own, *self.trainable_variables)}
        return own + [v for v in self._hidden.variables() if id(v) not in seen]

    def save_own_variables(self, store):
        """Also save the state of all seed generators, which Keras leaves out."""
        super().save_own_variables(store)
        for i, seed in enumerate(seeds_of(self)):
            store[f"seed_{i}"] = seed

    def load_own_variables(self, store):
        """The inverse of `save_own_variables`."""
        saved = {name: store[name] for name in store.keys()}  # noqa: SIM118 (not a dict)
        seeds = {name: saved.pop(name) for name in list(saved) if name.startswith("seed_")}
        super().load_own_variables(saved)
        for i, seed in enumerate(seeds_of(self)):
            seed.assign(seeds[f"seed_{i}"])


class _Hidden:
    """What Keras must not track: frozen models and the optimiser."""

    def __init__(self):
        self.models = []

    def variables(self):
        return [v for model in self.models for v in model.variables]


def seeds_of(model):
    """State of the seed generators of all layers: the variables that are no weights."""
    weights = {id(v) for v in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def call_unchanged(model, x):
    """Run a model in training mode; whatever it assigns to its variables is thrown away."""
    values = [(variable, variable.value) for variable in model.variables]
    with keras.StatelessScope(state_mapping=values):
        return model(x, training=True)
