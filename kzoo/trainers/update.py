"""One player's move within a batch."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Update:
    """What one player minimises, and which variables that moves.

    A `Trainer` with several players returns a list of these from `updates()`.
    They run in order within one batch; each sees what the earlier ones changed.

    Args:
        name: name of the player; the key of its optimiser in `PlayerOptimizers`.
        terms: function of `(x, y, sample_weight, training)` that returns
            `(y_pred, {term name: scalar or one value a sample})`. `y_pred` may be
            `None`; the first one that is not is given to the metrics.
        variables: the trainable variables that this update moves, and no others.

    Example:

    ```python
    import kzoo

    update = kzoo.trainers.Update("critic", lambda x, y, w, training: (None, {}), [])
    ```
    """

    name: str
    terms: Callable[..., tuple[Any, dict[str, Any]]]
    variables: Sequence[keras.Variable]
