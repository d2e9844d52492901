"""Tables and plots of finished runs, drawn from `results.json` and `history.csv`."""

import csv
import io
import pathlib

import numpy as np
import rich.box
import rich.table

from kzoo.recipes import files

_BEGIN = "<!-- kzoo report: begin -->"
_END = "<!-- kzoo report: end -->"
_COLUMNS = (
    "model",
    "test accuracy",
    "validation accuracy",
    "parameters",
    "multiply-adds",
    "latency (ms)",
    "weights (KiB)",
)


def table(results: dict) -> list[list[str]]:
    """The rows of a run as text, the header first."""
    body = []
    for name, row in results["rows"].items():
        body.append(
            [
                name,
                _accuracy(row, "test"),
                _accuracy(row, "validation"),
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:,}",
                f"{row['latency_ms']:.2f}",
                f"{row['weights_bytes'] / 1024:,.0f}",
            ]
        )
    return [list(_COLUMNS), *body]


def gain(results: dict) -> str:
    """One sentence: what the method gained over the same model trained alone."""
    rows = results["rows"]
    if "student alone" not in rows or "test" not in rows["student alone"]:
        return ""
    alone, distilled = (rows[name]["per_seed"] for name in ("student alone", "distilled student"))
    pairs = zip(alone, distilled, strict=True)
    gains = [100 * (b["test"]["accuracy"] - a["test"]["accuracy"]) for a, b in pairs]
    spread = f" ± {np.std(gains, ddof=1):.2f}" if len(gains) > 1 else ""
    seeds = f"{len(gains)} seed{'s' if len(gains) > 1 else ''}"
    return (
        f"Distillation changed the student's test accuracy by {np.mean(gains):+.2f}{spread} "
        f"percentage points ({seeds}, paired)."
    )


def markdown(rows: list[list[str]]) -> str:
    """A Markdown table; numbers are set right."""
    header, *body = rows
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])


def terminal(rows: list[list[str]], title: str) -> rich.table.Table:
    """The same table for a terminal; at 80 columns every word is still whole."""
    drawn = rich.table.Table(title=title, box=rich.box.SIMPLE_HEAD, padding=0, show_edge=False)
    for number, name in enumerate(rows[0]):
        header = name.replace(" ", "\n")
        drawn.add_column(header, justify="right" if number else "left", no_wrap=True)
    for row in rows[1:]:
        drawn.add_row(*(cell.replace(" ± ", "\n± ") for cell in row))
    return drawn


def write_history(run: pathlib.Path, phases: list[str], seeds: list[int]) -> None:
    """Join the phases' logs into `history.csv`: one line per seed, phase, epoch."""
    lines = []
    for seed in seeds:
        for phase in phases:
            log = files.read_json(files.phase_folder(run, seed, phase) / files.LOG)
            for epoch in range(len(next(iter(log.values()), []))):
                values = {name: f"{column[epoch]:.6g}" for name, column in log.items()}
                lines.append({"seed": seed, "phase": phase, "epoch": epoch + 1, **values})
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    files.write_text(run / files.HISTORY, text.getvalue())


def plots(results: dict, run: pathlib.Path) -> list[pathlib.Path]:
    """Draw the learning curves and accuracy against cost; returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder = files.writable_folder(run / files.PLOTS)
    drawn = []
    for name, draw in (("curves", _draw_curves), ("accuracy-against-cost", _draw_costs)):
        figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
        draw(axes, results, run)
        axes.set_title(results["title"] or results["run_id"])
        axes.grid(alpha=0.3)
        drawn.append(folder / f"{name}.png")
        figure.savefig(drawn[-1], dpi=120)
        pyplot.close(figure)
    return drawn


def update_markdown(path: pathlib.Path, text: str) -> None:
    """Replace what stands between the report markers of a Markdown file.

    Raises:
        ValueError: where the file has no markers.
    """
    old = path.read_text(encoding="utf-8")
    if old.count(_BEGIN) != 1 or old.count(_END) != 1:
        raise ValueError(f"{path} needs one line {_BEGIN} and, below it, one line {_END}.")
    head, rest = old.split(_BEGIN)
    files.write_text(path, f"{head}{_BEGIN}\n{text}\n{_END}{rest.split(_END)[1]}")


def card(results: dict) -> str:
    """What a run's README shows of its results."""
    environment = results["environment"]
    seconds = sum(run["seconds"] for row in results["rows"].values() for run in row["per_seed"])
    lines = [markdown(table(results)), ""]
    if sentence := gain(results):
        lines.append(sentence)
    for source, found in results["published"].items():
        lines.append(
            f"Published ({source}): {found['accuracy']:.4f}; "
            f"difference {100 * found['difference']:+.2f} percentage points."
        )
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    lines.append(
        f"Mean and standard deviation over seeds. {seconds / 60:.1f} minutes of training on "
        f"{environment['device']} ({environment['backend']} backend; {versions}; "
        f"{environment['date']}). Latency: one image, same machine."
    )
    return "\n".join(lines)


def index(folder: pathlib.Path) -> str:
    """The table of all recorded runs below a folder."""
    rows = [["run", "model", "test accuracy", "alone", "parameters", "seeds"]]
    for path in sorted(folder.glob(f"*/{files.RESULTS}")):
        results = files.read_json(path)
        last = list(results["rows"])[-1]
        row, alone = results["rows"][last], results["rows"].get("student alone", {})
        rows.append(
            [
                f"[{path.parent.name}](applications/{path.parent.name})",
                last,
                _accuracy(row, "test"),
                _accuracy(alone, "test"),
                f"{row['parameters']:,}",
                str(len(row["per_seed"])),
            ]
        )
    return markdown(rows)


def _accuracy(row, split):
    if split not in row:
        return "-"
    mean, spread = row[split]["accuracy"], row[split]["spread"]
    return f"{100 * mean:.2f} %" + ("" if spread is None else f" ± {100 * spread:.2f}")


def _draw_curves(axes, results, run):
    with open(run / files.HISTORY, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    column = "val_accuracy" if "val_accuracy" in lines[0] else "accuracy"
    for name in results["rows"]:
        by_epoch = {}
        for line in lines:
            if line["phase"] == name and line[column]:
                by_epoch.setdefault(int(line["epoch"]), []).append(100 * float(line[column]))
        epochs = sorted(by_epoch)
        means = np.array([np.mean(by_epoch[e]) for e in epochs])
        spread = np.array([np.std(by_epoch[e]) for e in epochs])
        axes.plot(epochs, means, label=name)
        axes.fill_between(epochs, means - spread, means + spread, alpha=0.2)
    axes.set(xlabel="epoch", ylabel=f"{column.replace('val_', 'validation ')} (%)")
    axes.legend()


def _draw_costs(axes, results, run):
    split = "test" if all("test" in row for row in results["rows"].values()) else "validation"
    for name, row in results["rows"].items():
        spread = 100 * (row[split]["spread"] or 0)
        accuracy = 100 * row[split]["accuracy"]
        axes.errorbar(row["multiply_adds"], accuracy, spread, fmt="o", capsize=4, label=name)
    axes.set(xscale="log", xlabel="multiply-adds per image", ylabel=f"{split} accuracy (%)")
    axes.legend()
