"""Tables of finished runs, drawn from `results.json`."""

import csv
import io
import pathlib

import rich.box
import rich.table

from kzoo.recipes import _cells, files, leaderboard, markdown, parts

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
                _cells.accuracy(row, "test"),
                _cells.accuracy(row, "validation"),
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:,}",
                f"{row['latency_ms']:.2f}",
                f"{row['weights_bytes'] / 1024:,.0f}",
            ]
        )
    return [list(_COLUMNS), *body]


def rows_of(results: dict) -> list[list[str]]:
    """The table of a run: of methods side by side the leaderboard."""
    return leaderboard.table(results) if leaderboard.has_methods(results) else table(results)


def conclusions(results: dict) -> list[str]:
    """What the run says, in sentences."""
    if leaderboard.has_methods(results):
        return leaderboard.conclusions(results)
    return [gain(results)]


def gain(results: dict) -> str:
    """One sentence: what the method gained over the same model trained alone."""
    rows = results["rows"]
    if "student alone" not in rows or "test" not in rows["student alone"]:
        return ""
    gains = leaderboard.differences(results, "distilled student", "student alone")
    seeds = f"{len(gains)} seed{'s' if len(gains) > 1 else ''}"
    return (
        f"Distillation changed the student's test accuracy by {_cells.signed(gains)} "
        f"percentage points ({seeds}, paired)."
    )


def terminal(rows: list[list[str]], title: str) -> rich.table.Table:
    """The same table for a terminal; at 80 columns every word is still whole."""
    drawn = rich.table.Table(title=title, box=rich.box.SIMPLE_HEAD, padding=0, show_edge=False)
    for number, name in enumerate(rows[0]):
        header = name.replace(" ", "\n")
        drawn.add_column(header, justify="right" if number else "left", no_wrap=True)
    for row in rows[1:]:
        drawn.add_row(*(cell.replace(" ± ", "\n± ").replace(" + ", "\n+ ") for cell in row))
    return drawn


def write_history(run: pathlib.Path, logs: list[tuple[int, str, pathlib.Path]]) -> None:
    """Join the logs of `(seed, phase, file)` into `history.csv`: one line per epoch of each."""
    lines = []
    for seed, phase, path in logs:
        log = files.read_json(path)
        for epoch in range(len(next(iter(log.values()), []))):
            values = {name: f"{column[epoch]:.6g}" for name, column in log.items()}
            lines.append({"seed": seed, "phase": phase, "epoch": epoch + 1, **values})
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    files.write_text(run / files.HISTORY, text.getvalue())


def card(results: dict) -> str:
    """What a run's README shows of its results."""
    environment = results["environment"]
    seconds = sum(run["seconds"] for row in results["rows"].values() for run in row["per_seed"])
    lines = [markdown.table(rows_of(results)), ""]
    if several := parts.table(results):
        lines += ["All that came out of each training:\n", markdown.table(several), ""]
    lines += [sentence for sentence in conclusions(results) if sentence]
    for source, found in results["published"].items():
        lines.append(
            f"Published ({source}): {found['accuracy']:.4f}; "
            f"difference {100 * found['difference']:+.2f} percentage points."
        )
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    settings = [f"{name}={value}" for name, value in environment.get("settings", {}).items()]
    jobs = environment.get("jobs", 1)
    summed = f", summed over {jobs} processes at a time," if jobs > 1 else ""
    several = max(len(row["per_seed"]) for row in results["rows"].values()) > 1
    spread = "Mean and standard deviation over seeds. " if several else "One seed. "
    latency = "" if leaderboard.has_methods(results) else " Latency: one image, same machine."
    lines.append(
        f"{spread}{seconds / 60:.1f} minutes of training{summed} "
        f"on {environment['device']} ({environment['backend']} backend; "
        f"{'; '.join([versions, *settings, environment['date']])}).{latency}"
    )
    return "\n".join(lines)


def _alone(results, name):
    """The row of the same model trained on the labels, for as many updates."""
    if not leaderboard.has_methods(results):
        return "student alone"
    return leaderboard.labels_alone(results, name)


def index(folder: pathlib.Path) -> str:
    """The table of all recorded runs below a folder."""
    rows = [["run", "model", "test accuracy", "alone", "parameters", "seeds"]]
    for path in sorted(folder.glob(f"*/{files.RESULTS}")):
        results = files.read_json(path)
        last = leaderboard.shown_row(results)
        row = results["rows"][last]
        alone = results["rows"].get(_alone(results, last), {})
        rows.append(
            [
                f"[{path.parent.name}](applications/{path.parent.name})",
                last,
                _cells.accuracy(row, "test"),
                _cells.accuracy(alone, "test"),
                f"{row['parameters']:,}",
                str(len(row["per_seed"])),
            ]
        )
    return markdown.table(rows)
