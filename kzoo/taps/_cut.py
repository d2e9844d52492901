"""Cutting a model at its taps, and joining the pieces again."""

import keras

from kzoo.taps._names import canonical, resolve
from kzoo.taps._trace import trace


def cut(model, at):
    """The pieces of a functional model between taps.

    The pieces hold the layers of `model` themselves, so weights are shared with it. Run one after
    the other they are the model; `join` makes one flat model of them.

    Args:
        model: a functional or `Sequential` model with one input.
        at: a tap or a list of taps from the input to the output, written as for `extractor`.
            Everything behind a tap must depend on it alone.

    Returns:
        A list of `len(at) + 1` functional models, each from one tensor to the next.

    Raises:
        ValueError: for a model without a graph or with several inputs, for a tap that it does not
            have, and where something behind a tap also reads what lies before it.

    Example:

    ```python
    import keras
    from kzoo import taps

    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(hidden))
    trunk, head = taps.cut(model, "hidden")
    head.input_shape  # (None, 3)
    ```
    """
    if not getattr(model, "inputs", None) or len(model.inputs) != 1:
        raise ValueError(
            "Only a functional or Sequential keras.Model with one input can be cut. "
            f"Received: {model!r}"
        )
    graph = keras.Model(model.inputs[0], _single(model.outputs))
    written = [at] if isinstance(at, str) else list(at)
    seen = trace(model)
    names = canonical(seen, model)
    ends = [_tensor(graph, resolve(seen, names, tap), tap) for tap in written]
    starts = [graph.inputs[0], *ends]
    pieces = []
    for number, (start, end) in enumerate(
        zip(starts, [*ends, _single(graph.outputs)], strict=True)
    ):
        try:
            pieces.append(keras.Model(start, end, name=f"{model.name}_piece{number}"))
        except ValueError as error:
            where = written[max(number - 1, 0)]
            raise ValueError(
                f"{model.name!r} cannot be cut at {written}: behind {where!r} something also reads "
                f"what lies before it, or the taps are not in order ({error}). Cut at the end of a "
                "stage."
            ) from None
    return pieces


def join(pieces, name=None):
    """One flat functional model that runs pieces of `cut` one after the other.

    Args:
        pieces: functional models, each taking what the one before it returns.
        name: of the new model; the first piece's by default.

    Returns:
        A functional `keras.Model` whose layers are those of the pieces, not the pieces.

    Example:

    ```python
    import keras
    from kzoo import taps

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="hidden"), keras.layers.Dense(2)]
    )
    again = taps.join(taps.cut(model, "hidden"))
    [layer.name for layer in again.layers[1:2]]  # ["hidden"]
    ```
    """
    first = pieces[0].inputs[0]
    inputs = outputs = keras.Input(batch_shape=first.shape, dtype=first.dtype, name=first.name)
    for piece in pieces:
        # `call` runs the layers of the piece; calling the piece would nest it.
        outputs = piece.call(outputs)
    try:
        return keras.Model(inputs, outputs, name=name or pieces[0].name)
    except ValueError as error:
        names = [piece.name for piece in pieces]
        raise ValueError(
            f"{names} cannot be made one model: {error} Give each layer a name of its own."
        ) from None


def _single(tensors):
    return tensors[0] if len(tensors) == 1 else tensors


def _tensor(graph, source, tap):
    """The graph's own tensor at a source; that of the source belongs to another pass."""
    nodes = [
        node
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
        if node.operation is source.operation
    ]
    if not nodes or source.port == "activation" or source.logarithm:
        raise ValueError(
            f"The model cannot be cut at {tap!r}: it lies inside of a layer. Cut at the output of "
            "a layer of the model itself."
        )
    node = nodes[-1 if source.index is None else source.index]
    return (node.outputs if source.port == "output" else node.input_tensors)[0]
