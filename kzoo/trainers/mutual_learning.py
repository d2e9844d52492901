"""Networks that learn together and teach each other."""

from kzoo.losses._arguments import check_choice, check_number
from kzoo.registry import register
from kzoo.trainers._checks import check_weight
from kzoo.trainers._consensus import CONSENSUS
from kzoo.trainers._gate import gate
from kzoo.trainers._mutual import Mutual
from kzoo.trainers._networks import player_names, scaled_policy


@register(
    "trainer",
    paper="arXiv:1706.00384",
    aliases=("DML", "DeepMutualLearning", "KDCL", "ONE"),
    tiny={"build": lambda small: MutualLearning([small("first"), small("second")])},
    players=("first", "second"),
)
class MutualLearning(Mutual):
    """Two or more networks learn from the labels and from each other's predictions.

    Use it where there is no trained teacher: in the paper each network ends better than alone, also
    a large one beside a small one. Any architectures go together that have the same classes and
    end alike, with a softmax or with logits.

    Reference:
        Y. Zhang, T. Xiang, T. M. Hospedales, H. Lu, "Deep Mutual Learning", CVPR 2018,
        arXiv:1706.00384.

    Each of the K networks has an optimiser of its own and minimises

        L_i = task_weight · task(y, p_i) + weight · mean_j T² KL(sg[q_ij] ‖ p_i) + regularization

    where sg stops gradients and `consensus` says what q is:

    | `consensus` | q, one or several | T | weight | task_weight | published as |
    |---|---|---|---|---|---|
    | `"peer"` | each other network, K − 1 of them | 1 | 1 | 1 | DML |
    | `"mean"` | softmax of the mean of all logits / T | 4 | 0.5 | 0.5 | KDCL |
    | `"leave_one_out"` | softmax of the mean of the others' logits / T | 2 | 0.5 | 0.5 | CL |
    | `"gate"` | softmax of the logits weighted by a gate / T | 3 | 1 | 1 | ONE |

    `mode="sequential"` is the paper's Algorithm 1: the networks move one after the other on each
    batch, and each sees what the others predict after they have moved. It runs each network K
    times a batch. `mode="simultaneous"` moves all at once by what they predicted before: one pass
    each. In both modes peers predict as they train, with the statistics of the batch.

    With `"gate"`, a small network reads the features of all networks at `gate_tap` (means over
    space) and weighs their logits: `g = softmax(ReLU(BN(FC(f))))`. The gate is a player of its own,
    `"gate"`, and the weighted logits have a loss on the labels of their own, which moves gate
    and networks.

    With `weight=0` the networks train side by side and ignore each other (see `FilterGrafting`).

    `compile` takes one optimiser, of which each player gets a copy, or
    `PlayerOptimizers({name: optimizer})` with a name for each network: its own, with a number
    behind it where several have the same; `trainer.players()` lists them.

    Terms are logged as `<name>_task_loss` and `<name>_mutual`, with `"gate"` also the loss of the
    weighted logits: `gate_task_loss` and, in sequence, `<name>_ensemble_loss`. Beside them are
    `<name>_accuracy` of each network and `ensemble_accuracy` of the mean of their probabilities,
    which `evaluate` shows too. `accuracy` and other compiled metrics are the first network's, which
    `predict` runs. `best()` is the network that was most accurate when last validated, `models`
    are all, `ensemble` is the mean of their probabilities as one plain Keras model.

    Args:
        models: two or more networks, built or not.
        mode: `"sequential"` or `"simultaneous"`.
        consensus: `"peer"`, `"mean"`, `"leave_one_out"` or `"gate"`.
        temperature: T > 0; `None` for the published one.
        weight: weight of the mutual term, a number or a schedule of the step; `None` for the
            published one. ONE raises it over 80 epochs as exp(−5 (1 − e / 80)²).
        task_weight: weight of the compiled loss; `None` for the published one.
        gate_tap: where the gate reads each network.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the networks take.
        training: whether they run in training mode.

    Raises:
        ValueError: for fewer than two networks, for networks that share variables, have different
            classes or end differently, for sigmoids, and for unknown names.

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    def network(units, name):
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)], name=name
        )

    peers = kzoo.trainers.MutualLearning([network(8, "small"), network(32, "large")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    peers.compile("adam", loss, metrics=["accuracy"])
    x, y = np.random.rand(8, 4), np.arange(8) % 3
    peers.fit(x, y, validation_data=(x, y), verbose=0)
    network = peers.best()  # a plain Keras model
    ```

    Differences from the papers: KDCL gives each network images augmented on their own, here all see
    one batch. ONE's branches share their first layers, here the gate reads separate networks;
    for a shared trunk see `CollaborativeLearning`.
    """

    configured = (
        "models",
        "mode",
        "consensus",
        "temperature",
        "weight",
        "task_weight",
        "gate_tap",
    )

    def __init__(
        self,
        models,
        mode="sequential",
        consensus="peer",
        temperature=None,
        weight=None,
        task_weight=None,
        gate_tap="stage1",
        **kwargs,
    ):
        check_choice("mode", mode, ("sequential", "simultaneous"))
        check_choice("consensus", consensus, tuple(CONSENSUS))
        names = player_names(models, reserved=("gate", "ensemble"))
        kwargs.setdefault("dtype", scaled_policy(models))
        super().__init__((*names, "ensemble"), **kwargs)
        published = CONSENSUS[consensus]
        self.models = list(models)
        self.mode, self.consensus, self.gate_tap = mode, consensus, gate_tap
        self.temperature = published.temperature if temperature is None else temperature
        self.weight = published.weight if weight is None else weight
        self.task_weight = published.task_weight if task_weight is None else task_weight
        check_number("temperature", self.temperature)
        check_weight("weight", self.weight)
        check_weight("task_weight", self.task_weight)
        self.gate = gate(len(names)) if consensus == "gate" else None
        self._names = tuple(names)
        if all(model.built for model in self.models):
            self._prepare()
