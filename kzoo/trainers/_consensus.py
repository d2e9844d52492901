"""What the peers of a network agree on: whom each learns from."""

import dataclasses

from keras import ops


@dataclasses.dataclass(frozen=True)
class Published:
    """The hyper-parameters that a consensus was published with."""

    temperature: float
    weight: float
    task_weight: float


CONSENSUS = {
    "peer": Published(1.0, 1.0, 1.0),
    "mean": Published(4.0, 0.5, 0.5),
    "leave_one_out": Published(2.0, 0.5, 0.5),
    "gate": Published(3.0, 1.0, 1.0),
}


def sources(consensus, logits, index, gates=None):
    """The logits that network `index` learns from: a list, of which it takes the mean loss.

    Args:
        consensus: a key of `CONSENSUS`.
        logits: of all networks.
        index: the network that learns.
        gates: of `"gate"` the weight of each network for each sample, `(batch, networks)`.
    """
    others = [found for number, found in enumerate(logits) if number != index]
    if consensus == "peer":
        return others
    if consensus == "leave_one_out":
        return [sum(others) / len(others)]
    if consensus == "mean":
        return [sum(logits) / len(logits)]
    return [gated(logits, gates)]


def gated(logits, gates):
    """The mean of the networks' logits by the gate's weights."""
    return ops.sum(ops.stack(logits, axis=1) * ops.expand_dims(gates, -1), axis=1)
