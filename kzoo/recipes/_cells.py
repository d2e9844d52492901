"""Figures as they stand in tables and sentences."""

import numpy as np


def accuracy(row: dict, split: str) -> str:
    """Mean and spread of a row's accuracy in percent; `-` where it was not measured."""
    if split not in row:
        return "-"
    mean, spread = row[split]["accuracy"], row[split]["spread"]
    return f"{100 * mean:.2f} %" + ("" if spread is None else f" ± {100 * spread:.2f}")


def signed(gains: list[float]) -> str:
    """Mean and spread of differences in percentage points."""
    spread = f" ± {np.std(gains, ddof=1):.2f}" if len(gains) > 1 else ""
    return f"{np.mean(gains):+.2f}{spread}"
