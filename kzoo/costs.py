"""What a model costs: multiply-adds, time, bytes."""

import contextlib
import functools
import math
import pathlib
import statistics
import time

import keras
import numpy as np

_layers = keras.layers
_AT_EVERY_OUTPUT = (
    _layers.Conv1D,
    _layers.Conv2D,
    _layers.Conv3D,
    _layers.DepthwiseConv1D,
    _layers.DepthwiseConv2D,
    _layers.SeparableConv1D,
    _layers.SeparableConv2D,
    _layers.Dense,
)
_AT_EVERY_INPUT = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)


def multiply_adds(model: keras.Model, input_shape: tuple[int, ...] | None = None) -> int:
    """Multiply-add operations of the convolutions and dense layers, for one image.

    Use it to compare models as papers do: one multiplication with its addition
    counts once; normalisation, activation, pooling and biases do not count. The
    model is run once on zeros, and every call of a layer counts what it does:
    nested models, composite layers and layers called twice are included.

        kernel size x output positions

    Args:
        model: a built model with one input.
        input_shape: of one image; needed where the model's own has free sizes.

    Raises:
        ValueError: where the size is not known, or where a layer has a kernel but
            no rule.

    Example:

    ```python
    import keras
    from kzoo import costs

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert costs.multiply_adds(model) == 12
    ```
    """
    counts = []
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            if _counted(layer):
                stack.enter_context(_recorded(layer, counts))
        model(_zeros(model, 1, input_shape), training=False)
    return sum(counts)


def latency(
    model: keras.Model,
    batch_size: int = 1,
    repeats: int = 50,
    input_shape: tuple[int, ...] | None = None,
) -> float:
    """Median time of one compiled prediction, in milliseconds, on this machine.

    Use it to compare models on one machine; it holds the cost of a call, about one
    millisecond, too.

    Args:
        model: a built model with one input.
        batch_size: images at a time.
        repeats: number of measured calls; three more come first.
        input_shape: of one image; needed where the model's own has free sizes.

    Raises:
        ValueError: where the size is not known.

    Example:

    ```python
    import keras
    from kzoo import costs

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    print(f"{costs.latency(model, repeats=5):.1f} ms")
    ```
    """
    images = _zeros(model, batch_size, input_shape)
    times = []
    for _ in range(3 + repeats):
        started = time.perf_counter()
        model.predict_on_batch(images)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[3:])


def file_size(path: str | pathlib.Path) -> int:
    """Bytes of a file, or of all files in a folder.

    Raises:
        FileNotFoundError: where there is nothing.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _zeros(model, batch_size, input_shape):
    shape = tuple(input_shape or model.input_shape[1:])
    if None in shape:
        raise ValueError(
            f"`input_shape` is needed, because {model.name!r} takes images of any size. "
            f"Received: input_shape={input_shape}, the model's is {shape}"
        )
    return np.zeros((batch_size, *shape), "float32")


def _kernels(layer):
    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    return [v for v in own if "kernel" in v.name]


def _counted(layer):
    if not _kernels(layer):
        return False
    if isinstance(layer, (*_AT_EVERY_OUTPUT, *_AT_EVERY_INPUT)):
        return True
    raise ValueError(
        f"There is no rule to count the multiply-adds of {type(layer).__name__} {layer.name!r}. "
        f"Known: {', '.join(t.__name__ for t in (*_AT_EVERY_OUTPUT, *_AT_EVERY_INPUT))}."
    )


@contextlib.contextmanager
def _recorded(layer, counts):
    """Add what each call of the layer costs to `counts`."""
    call = layer.call

    @functools.wraps(call)
    def recording(inputs, *args, **kwargs):
        outputs = call(inputs, *args, **kwargs)
        at = inputs if isinstance(layer, _AT_EVERY_INPUT) else outputs
        counts.append(
            _positions(layer, at.shape) * sum(math.prod(k.shape) for k in _kernels(layer))
        )
        return outputs

    object.__setattr__(layer, "call", recording)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _positions(layer, shape):
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        return math.prod(shape[2:])
    return math.prod(shape[1:-1])
