"""Networks that learn together: all but the arguments."""

import functools

from keras import ops

from kzoo import ensembles
from kzoo.losses import soft_targets
from kzoo.trainers._batch import Batch
from kzoo.trainers._checks import Schedule, weight_at
from kzoo.trainers._classifiers import Classifiers
from kzoo.trainers._configured import Configured
from kzoo.trainers._consensus import gated, sources
from kzoo.trainers._networks import LOGITS
from kzoo.trainers._peers import Peers
from kzoo.trainers._state import call_unchanged
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._terms import reduce_term
from kzoo.trainers.player_optimizers import steps_done
from kzoo.trainers.update import Update


class Mutual(Configured, Classifiers):
    """Base of `MutualLearning`, which sets `models`, `gate` and what they learn from each other."""

    copies_optimizer = True

    def build(self, input_shape=None):
        """Build the networks and the gate."""
        for model in self.models:
            if not model.built:
                model.build(Batch.of(input_shape).inputs)
        self._prepare()

    def _prepare(self):
        if self.built:
            return
        # Hidden, so that Keras does not track the networks a second time.
        tap = None if self.gate is None else self.gate_tap
        self._hidden.peers = Peers(self.models, self._names, tap)
        if self.gate is not None:
            self.gate.build((None, self._hidden.peers.gate_channels))
        self.built = True

    def call(self, inputs, training=None):
        """The first network's output."""
        return self.models[0](Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The first network's."""
        return self.models[0].compute_output_shape(Batch.of(input_shape).inputs)

    def players(self):
        """The networks by name, and the gate."""
        pairs = zip(self._names, self.models, strict=True)
        players = {name: model.trainable_variables for name, model in pairs}
        return players if self.gate is None else {**players, "gate": self.gate.trainable_variables}

    def updates(self):
        """Of `"sequential"` one for each player, of `"simultaneous"` one for all."""
        if self.mode == "simultaneous":
            return [Update("all", self._all_terms, self.trainable_variables)]
        terms = [functools.partial(self._own_terms, index) for index in range(len(self.models))]
        terms += [] if self.gate is None else [self._gate_terms]
        pairs = zip(self.players().items(), terms, strict=True)
        return [Update(name, own, variables) for (name, variables), own in pairs]

    def _all_terms(self, x, y, sample_weight, training):
        peers = self._hidden.peers
        found = peers.read(Batch.of(x).inputs, training)
        self.log_accuracies(peers.scores(found), x, y)
        gates, terms = None, {}
        if self.gate is not None:
            gates = self.gate(peers.gate_features(found), training=training)
            terms["gate_task_loss"] = self._ensemble_loss(found, gates, y, sample_weight)
        for index, name in enumerate(self._names):
            own = self._terms(index, found, gates, y, sample_weight)
            terms |= {f"{name}_{key}": value for key, value in own.items()}
        return found[0][OUTPUTS], terms

    def _own_terms(self, index, x, y, sample_weight, training):
        peers = self._hidden.peers
        found = peers.read_one(self, index, Batch.of(x).inputs, training)
        if index == 0:
            self.log_accuracies(peers.scores(found), x, y)
        gates, terms = None, {}
        if self.gate is not None:
            gates = call_unchanged(self.gate, peers.gate_features(found))
            terms["ensemble_loss"] = self._ensemble_loss(found, gates, y, sample_weight)
        terms |= self._terms(index, found, gates, y, sample_weight)
        return found[0][OUTPUTS] if index == 0 else None, terms

    def _gate_terms(self, x, y, sample_weight, training):
        found = self._hidden.peers.read_one(self, None, Batch.of(x).inputs, training)
        gates = self.gate(self._hidden.peers.gate_features(found), training=training)
        return None, {"task_loss": self._ensemble_loss(found, gates, y, sample_weight)}

    def _terms(self, index, found, gates, y, sample_weight):
        """Task and mutual term of one network."""
        step, terms = steps_done(self.optimizer), {}
        if self.task_weight != 0 and self._compile_loss is not None:
            task = self.task_loss(y, found[index][OUTPUTS], sample_weight)
            terms["task_loss"] = reduce_term(task, None) * weight_at(self.task_weight, step)
        if self.weight != 0:
            logits = [ops.stop_gradient(one[LOGITS]) for one in found]
            gates = None if gates is None else ops.stop_gradient(gates)
            taught = sources(self.consensus, logits, index, gates)
            losses = [soft_targets(q, found[index][LOGITS], self.temperature) for q in taught]
            mutual = reduce_term(sum(losses) / len(losses), sample_weight)
            terms["mutual"] = mutual * weight_at(self.weight, step)
        return terms

    def _ensemble_loss(self, found, gates, y, sample_weight):
        outputs = gated([one[LOGITS] for one in found], gates)
        outputs = ops.softmax(outputs) if self._hidden.peers.probabilities else outputs
        return self.task_loss(y, outputs, sample_weight)

    def scores(self, inputs):
        """The outputs of each network and the mean of their probabilities."""
        peers = self._hidden.peers
        return peers.scores(peers.read(Batch.of(inputs).inputs, False))

    def diagnose(self, logs, ignore=()):
        """Warn about terms that stayed 0, though not where a schedule may want that."""
        ends = ("_task_loss",) * isinstance(self.task_weight, Schedule)
        ends += ("_mutual",) * isinstance(self.weight, Schedule)
        quiet = [name for name in self.term_names if name.endswith(ends)]
        super().diagnose(logs, (*ignore, *quiet))

    @property
    def classifiers(self):
        """The networks by name."""
        return dict(zip(self._names, self.models, strict=True))

    @property
    def ensemble(self):
        """A plain Keras model: the mean of the probabilities of all networks."""
        # Made once, since Keras asks for every property at each save.
        if "ensemble" not in vars(self._hidden):
            self._hidden.ensemble = ensembles.mean_of(self.models)
        return self._hidden.ensemble
