"""Several optimisers that the rest of Keras sees as one."""

import functools
import types

import keras


@keras.saving.register_keras_serializable(package="kzoo")
class PlayerOptimizers(keras.optimizers.Optimizer):
    """One optimiser for each player of a `Trainer`, as one Keras optimiser.

    Use it to compile a trainer with several updates. Its variables are those of all
    players, so saving, resuming, callbacks and the JAX state see one optimiser.

    `iterations` and `learning_rate` are those of the first player. Setting
    `learning_rate` (as `LearningRateScheduler` does) gives the first player that
    value and scales the others by the same factor from where they started; one
    player alone is reached by its name: `optimizer["critic"].learning_rate = 1e-4`.

    Args:
        optimizers: dictionary of player name to optimiser (an instance, or a name
            that `keras.optimizers.get` knows).
        name: name of the whole.

    Raises:
        ValueError: for no player, for an optimiser that scales its own loss (wrap
            the whole in `keras.optimizers.LossScaleOptimizer` instead), for one
            optimiser given to two players, and at build for a variable that two
            players claim.

    Example:

    ```python
    import keras
    import kzoo

    optimizer = kzoo.trainers.PlayerOptimizers(
        {"generator": keras.optimizers.Adam(1e-3), "critic": keras.optimizers.SGD(1e-2)}
    )
    optimizer["critic"].learning_rate = 5e-3
    ```
    """

    def __init__(self, optimizers, name="player_optimizers"):
        super().__init__(learning_rate=0.0, name=name)
        players = {key: keras.optimizers.get(value) for key, value in optimizers.items()}
        _validate(players)
        # A read-only view: Keras would otherwise save each player a second time.
        self._players = types.MappingProxyType(players)
        self._ratios = types.MappingProxyType(_ratios(players))
        self._groups_of_trainer = None
        self._owners = types.MappingProxyType({})
        self._places = types.MappingProxyType({})

    def __getitem__(self, player):
        return self._players[player]

    @property
    def players(self):
        """Names of the players, in order."""
        return list(self._players)

    @property
    def variables(self):
        """The variables of all players."""
        return [v for optimizer in self._players.values() for v in optimizer.variables]

    @property
    def iterations(self):
        """Steps that the first player has done."""
        return self._lead.iterations

    @property
    def learning_rate(self):
        """Learning rate of the first player."""
        return self._lead.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        for name, optimizer in self._players.items():
            optimizer.learning_rate = value * self._ratios[name]

    @property
    def _lead(self):
        return next(iter(self._players.values()))

    def assign_groups(self, groups):
        """Give a function that returns `{player: variables}`; a `Trainer` does this."""
        self._groups_of_trainer = groups

    def build(self, variables):
        """Build each player's optimiser on the variables of its group."""
        if self._groups_of_trainer is None:
            raise ValueError(
                "PlayerOptimizers does not know which player owns which variable. "
                "Compile a kzoo Trainer with it; plain Keras models take one optimiser."
            )
        groups = {name: list(group) for name, group in self._groups_of_trainer().items()}
        if set(groups) != set(self._players):
            raise ValueError(
                f"PlayerOptimizers needs one optimiser for each player of the trainer. "
                f"Expected: {sorted(groups)}. Received: {sorted(self._players)}."
            )
        position = {self._var_key(v): i for i, v in enumerate(variables)}
        owners, places = {}, {}
        for name, optimizer in self._players.items():
            group = groups[name]
            for variable in group:
                owner = owners.setdefault(self._var_key(variable), name)
                if owner != name:
                    raise ValueError(
                        f"The variable {variable.path} is moved by two players, {owner!r} and "
                        f"{name!r}. Each variable must belong to one update."
                    )
            places[name] = [position[self._var_key(v)] for v in group]
            optimizer.build(group)
        self._owners = types.MappingProxyType(owners)
        self._places = types.MappingProxyType(places)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        """Hand each gradient to the player that owns the variable."""
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        if not self.built:
            self.build(list(trainable_variables))
        shares = {}
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            owner = self._owners.get(self._var_key(variable))
            if gradient is not None and owner is not None:
                shares.setdefault(owner, []).append((gradient, variable))
        for name, share in shares.items():
            gradients, variables = zip(*share, strict=True)
            self._players[name].apply(list(gradients), list(variables))

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """As `apply`, on values; players without any gradient do not step."""
        # LossScaleOptimizer gives variables; what is not stepped must come back as values too.
        state = [keras.ops.convert_to_tensor(v) for v in optimizer_variables]
        values = [keras.ops.convert_to_tensor(v) for v in trainable_variables]
        start = 0
        for name, optimizer in self._players.items():
            own = slice(start, start + len(optimizer.variables))
            start = own.stop
            places = self._places[name]
            gradients = [grads[i] for i in places]
            if all(g is None for g in gradients):
                continue
            moved, state[own] = optimizer.stateless_apply(
                state[own], gradients, [values[i] for i in places]
            )
            for i, value in zip(places, moved, strict=True):
                values[i] = value
        return values, state

    def finalize_variable_values(self, var_list):
        """Let each player overwrite its variables with their averages, if it keeps any."""
        for optimizer in self._players.values():
            optimizer.finalize_variable_values(optimizer._trainable_variables)

    def get_config(self):
        """Configuration: the players' optimisers."""
        serialize = keras.saving.serialize_keras_object
        return {
            "optimizers": {name: serialize(o) for name, o in self._players.items()},
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        optimizers = {
            name: keras.saving.deserialize_keras_object(o, custom_objects=custom_objects)
            for name, o in config["optimizers"].items()
        }
        return cls(optimizers, name=config["name"])


def for_each_player(optimizer, names):
    """`PlayerOptimizers` with a copy of one optimiser for each name, unless it is one already."""
    if players_of(optimizer) is not None:
        return optimizer
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    inner = optimizer.inner_optimizer if scaled else optimizer
    players = PlayerOptimizers({n: type(inner).from_config(inner.get_config()) for n in names})
    if not scaled:
        return players
    known = optimizer.get_config()
    kept = {key: known[key] for key in ("initial_scale", "dynamic_growth_steps")}
    return keras.optimizers.LossScaleOptimizer(players, **kept)


def steps_done(optimizer):
    """Batches that were trained on before this one, whichever players have moved in it already."""
    players = players_of(optimizer)
    if players is None:
        return optimizer.iterations
    counts = (keras.ops.cast(players[name].iterations, "int32") for name in players.players)
    return functools.reduce(keras.ops.minimum, counts)


def players_of(optimizer):
    """The `PlayerOptimizers` that a trainer was compiled with, or `None`."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, PlayerOptimizers) else None


def check_players(trainer):
    """Refuse one optimiser for several players."""
    names = list(trainer.players()) if trainer.compiled else []
    if len(names) > 1 and players_of(trainer.optimizer) is None:
        raise ValueError(
            f"{type(trainer).__name__} has {len(names)} players; compile it with "
            f"PlayerOptimizers({{{', '.join(f'{n!r}: ...' for n in names)}}}). "
            f"Received: {type(trainer.optimizer).__name__}"
        )


def _validate(players):
    if not players:
        raise ValueError("`optimizers` must name at least one player. Received: {}")
    for name, optimizer in players.items():
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if scaled or optimizer.loss_scale_factor is not None:
            raise ValueError(
                f"The optimiser of player {name!r} scales its own loss. Wrap the whole instead: "
                "keras.optimizers.LossScaleOptimizer(PlayerOptimizers({...}))."
            )
    if len({id(optimizer) for optimizer in players.values()}) < len(players):
        raise ValueError(
            f"Each player needs an optimiser of its own. Received one object for several of "
            f"{list(players)}."
        )


def _ratios(players):
    """Learning rate of each player over that of the first one (1 where that is no number)."""
    rates = {}
    for name, optimizer in players.items():
        fixed = isinstance(optimizer._learning_rate, keras.Variable)
        rates[name] = float(keras.ops.convert_to_numpy(optimizer.learning_rate)) if fixed else None
    lead = next(iter(rates.values()))
    return {name: rate / lead if rate is not None and lead else 1.0 for name, rate in rates.items()}
