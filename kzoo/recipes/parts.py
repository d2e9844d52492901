"""What else came out of a training: peers, heads, exits and ensembles."""

import numpy as np

_HEADER = ["method", "classifier", "test accuracy", "test cross-entropy", "train accuracy"]


def table(results: dict) -> list[list[str]]:
    """All classifiers of the rows that have several, as text, the header first; `[]` for none."""
    body = []
    for row_name, row in results["rows"].items():
        runs = [run["parts"] for run in row["per_seed"] if "parts" in run]
        for name in runs[0] if runs else ():
            accuracy, fitted = (
                _mean([100 * parts[name][split]["accuracy"] for parts in runs], 2, " %")
                for split in ("test", "train")
            )
            loss = _mean([parts[name]["test"]["loss"] for parts in runs], 3)
            body.append([row_name, name, accuracy, loss, fitted])
    return [_HEADER, *body] if body else []


def _mean(values, digits, unit=""):
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{unit}{spread}"
