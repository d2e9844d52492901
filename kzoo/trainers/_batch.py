"""What a batch holds beside the inputs: sample numbers and recorded outputs of a teacher."""

import dataclasses
from typing import Any

from kzoo.data.batch_keys import INPUTS, SAMPLE_INDEX, TEACHER


@dataclasses.dataclass(frozen=True)
class Batch:
    """The parts of the `x` of a batch, or of its shapes.

    Attributes:
        inputs: what the models take.
        sample_index: the number of each sample in its data set, `None` where unknown.
        recorded: outputs of a teacher by tap, empty where there are none.
    """

    inputs: Any
    sample_index: Any = None
    recorded: Any = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, x):
        """Take `x` apart: the dicts of `kzoo.data`, or plain inputs, which may be dicts too."""
        if isinstance(x, dict) and INPUTS in x and x.keys() <= {INPUTS, SAMPLE_INDEX, TEACHER}:
            return cls(x[INPUTS], x.get(SAMPLE_INDEX), x.get(TEACHER, {}))
        return cls(x)
