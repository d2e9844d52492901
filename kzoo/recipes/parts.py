"""What else came out of a training: peers, heads, exits and ensembles."""

import numpy as np

_HEADER = ["method", "classifier", "test accuracy", "test cross-entropy"]


def table(results: dict) -> list[list[str]]:
    """All classifiers of the rows that have several, as text, the header first; `[]` for none."""
    body = []
    for row_name, row in results["rows"].items():
        runs = [run["parts"] for run in row["per_seed"] if "parts" in run]
        for name in runs[0] if runs else ():
            accuracy = [100 * parts[name]["test"]["accuracy"] for parts in runs]
            loss = [parts[name]["test"]["loss"] for parts in runs]
            body.append([row_name, name, f"{_mean(accuracy, 2, ' %')}", _mean(loss, 3)])
    return [_HEADER, *body] if body else []


def _mean(values, digits, unit=""):
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{unit}{spread}"
