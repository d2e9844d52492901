"""Networks and a gate, read in one pass each; a plain object that Keras ignores."""

from keras import ops

from kzoo.trainers._gate import gate_features
from kzoo.trainers._networks import LOGITS, ends_alike, readers
from kzoo.trainers._teaching import OUTPUTS


class Peers:
    """How the networks of a trainer are read.

    Args:
        models: built networks.
        names: one for each.
        gate_tap: where a gate reads them, `None` where there is no gate.
    """

    def __init__(self, models, names, gate_tap=None):
        self.names = names
        self.gate_tap = gate_tap
        self.readers = readers(models, *([gate_tap] if gate_tap else []))
        self.probabilities = ends_alike(models)

    @property
    def gate_channels(self):
        """Channels of what the gate reads."""
        return sum(read.tap_shapes[self.gate_tap][-1] for read in self.readers)

    def read(self, inputs, training):
        """What all show, each with gradients."""
        return [_wide(read(inputs, training=training)) for read in self.readers]

    def read_one(self, trainer, index, inputs, training):
        """The same with gradients for one network alone, `None` for none.

        The others run as they do when they are trained, but nothing in them changes.
        """
        return [
            _wide(
                read(inputs, training=training)
                if number == index
                else trainer.call_frozen(read, inputs, batch_statistics=True)
            )
            for number, read in enumerate(self.readers)
        ]

    def gate_features(self, found):
        """What the gate reads."""
        return gate_features([one[self.gate_tap] for one in found])

    def scores(self, found):
        """The networks' outputs by name, and the mean of their probabilities."""
        outputs = {n: one[OUTPUTS] for n, one in zip(self.names, found, strict=True)}
        outputs["ensemble"] = sum(ops.softmax(one[LOGITS]) for one in found) / len(found)
        return outputs


def _wide(found):
    """Logits in float32, whatever the networks compute in."""
    return {**found, LOGITS: ops.cast(found[LOGITS], "float32")}
