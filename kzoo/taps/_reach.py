"""What a tap depends on."""

import keras

from kzoo.taps._names import canonical, resolve
from kzoo.taps._trace import trace


def variables_before(model, taps):
    """The trainable variables of a model that some of its taps depend on.

    Args:
        model: any built `keras.Model`.
        taps: names, written as for `extractor`.

    Returns:
        A list in the order of `model.trainable_variables`: those of the layers from the input up
        to the taps. Where a subclassed model combines tensors outside of any layer, all that ran
        before counts.

    Raises:
        ValueError: for a name that the model does not have.

    Example:

    ```python
    import keras
    from kzoo import taps

    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(hidden))
    [v.path for v in taps.variables_before(model, ["hidden"])]  # kernel and bias of "hidden"
    ```
    """
    seen = trace(model)
    names = canonical(seen, model)
    wanted = {id(resolve(seen, names, tap).tensor) for tap in taps}
    known = {id(tensor) for tensor in seen.inputs}
    known |= {id(tensor) for event in seen.events for tensor in event.outputs}
    needed, everything = set(), False
    for event in reversed(seen.events):
        if isinstance(event.operation, keras.Model):
            continue  # the layers inside are events of their own
        if everything or wanted & _made(event):
            wanted |= {id(tensor) for tensor in event.inputs}
            everything = everything or not wanted <= known | _made(event)
            if isinstance(event.operation, keras.layers.Layer):
                needed |= {id(v) for v in event.operation.trainable_variables}
    return [v for v in model.trainable_variables if id(v) in needed]


def _made(event):
    made = [*event.outputs, *(event.activated or ())]
    return {id(tensor) for tensor in made}
