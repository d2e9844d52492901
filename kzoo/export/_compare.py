"""Compare outputs of an exported file with those of the model."""

import dataclasses

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far outputs are from what was expected."""

    max_error: float
    mean_error: float
    agreement: float


def flatten(outputs):
    """The outputs as a list of float arrays (float32 at least)."""
    arrays = [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)]
    return [array.astype(np.result_type(array.dtype, "float32")) for array in arrays]


def compare(batches, expected) -> Difference:
    """Largest and mean error, relative to outputs above 1, and the share of equal classes.

    Args:
        batches: outputs, a structure for each batch.
        expected: outputs of the model for all batches together.

    Raises:
        ValueError: where number or shapes differ.
    """
    expected = flatten(expected)
    parts = [flatten(batch) for batch in batches]
    outputs = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    shapes = [output.shape for output in outputs], [output.shape for output in expected]
    if shapes[0] != shapes[1]:
        raise ValueError(f"its outputs have shapes {shapes[0]}, the model's {shapes[1]}")
    errors, agreements = [], []
    for output, wanted in zip(outputs, expected, strict=True):
        errors.append(np.abs(output - wanted) / max(1.0, float(np.max(np.abs(wanted)))))
        agreements.append(np.mean(output.argmax(-1) == wanted.argmax(-1)))
    return Difference(
        max_error=float(max(np.max(error) for error in errors)),
        mean_error=float(max(np.mean(error) for error in errors)),
        agreement=float(min(agreements)),
    )
