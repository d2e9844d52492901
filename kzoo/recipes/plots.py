"""Plots of finished runs, drawn from `results.json` and `history.csv`."""

import contextlib
import csv
import pathlib

import numpy as np

from kzoo.recipes import files, leaderboard

_NAMED_CURVES = 12


def draw(results: dict, run: pathlib.Path) -> list[pathlib.Path]:
    """Draw the learning curves, and accuracy against cost or the leaderboard.

    Returns:
        The files.
    """
    second = ("accuracy-against-cost", _draw_costs)
    if leaderboard.has_methods(results):
        second = ("leaderboard", _draw_leaderboard)
    drawn = []
    for name, fill in (("curves", _draw_curves), second):
        with figure(run / files.PLOTS / f"{name}.png", _height(results, name)) as axes:
            fill(axes, results, run)
            axes.set_title(results["title"] or results["run_id"])
        drawn.append(run / files.PLOTS / f"{name}.png")
    return drawn


@contextlib.contextmanager
def figure(path: pathlib.Path, height: float = 4.2, columns: int = 1):
    """Axes to draw on (an array of them for several columns); written to `path` at the end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    files.writable_folder(path.parent)
    made, axes = pyplot.subplots(
        1, columns, figsize=(7 + 4 * (columns - 1), height), layout="constrained"
    )
    for one in np.ravel(axes):
        one.grid(alpha=0.3)
    yield axes
    made.savefig(path, dpi=120)
    pyplot.close(made)


def _height(results, name):
    return max(4.2, 0.24 * len(results["rows"])) if name == "leaderboard" else 4.2


def _draw_curves(axes, results, run):
    with open(run / files.HISTORY, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    column = "val_accuracy" if "val_accuracy" in lines[0] else "accuracy"
    for name, row in results["rows"].items():
        if leaderboard.diverged(row):
            continue
        by_epoch = {}
        for line in lines:
            if line["phase"] == name and line[column]:
                by_epoch.setdefault(int(line["epoch"]), []).append(100 * float(line[column]))
        epochs = sorted(by_epoch)
        means = np.array([np.mean(by_epoch[e]) for e in epochs])
        spread = np.array([_spread(by_epoch[e]) for e in epochs])
        axes.plot(epochs, means, label=name)
        axes.fill_between(epochs, means - spread, means + spread, alpha=0.2)
    axes.set(xlabel="epoch", ylabel=f"{column.replace('val_', 'validation ')} (%)")
    if len(results["rows"]) <= _NAMED_CURVES:
        axes.legend()


def _spread(values):
    return np.std(values, ddof=1) if len(values) > 1 else 0.0


def _draw_costs(axes, results, run):
    split = "test" if all("test" in row for row in results["rows"].values()) else "validation"
    for name, row in results["rows"].items():
        spread = 100 * (row[split]["spread"] or 0)
        accuracy = 100 * row[split]["accuracy"]
        axes.errorbar(row["multiply_adds"], accuracy, spread, fmt="o", capsize=4, label=name)
    axes.set(xscale="log", xlabel="multiply-adds per image", ylabel=f"{split} accuracy (%)")
    axes.legend()


def _draw_leaderboard(axes, results, run):
    names = leaderboard.order(results)[::-1]
    rows = [results["rows"][name] for name in names]
    split = "test"
    means = [100 * row[split]["accuracy"] for row in rows]
    spread = [100 * (row[split]["spread"] or 0) for row in rows]
    axes.errorbar(means, range(len(names)), xerr=spread, fmt="o", capsize=3)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    baseline = leaderboard.common_baseline(results)
    if baseline:
        mean = 100 * results["rows"][baseline][split]["accuracy"]
        axes.axvline(mean, linestyle="--", color="gray", label=baseline)
        axes.legend()
    axes.set(xlabel=f"{split} accuracy (%), mean and standard deviation")
