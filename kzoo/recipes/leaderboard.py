"""Methods side by side: what each brought, and what it cost."""

import numpy as np

COLUMNS = (
    "method",
    "test accuracy",
    "against soft targets",
    "step (ms)",
    "extra memory (MiB)",
    "extra parameters",
)


def has_methods(results: dict) -> bool:
    """Whether a run compared methods."""
    return bool(results["recipe"].get("methods"))


def order(results: dict) -> list[str]:
    """The rows of students, the best mean test accuracy first."""
    students = [name for name, row in results["rows"].items() if "losses" in row]
    return sorted(students, key=lambda n: -results["rows"][n]["test"]["accuracy"])


def soft_targets_row(results: dict) -> str | None:
    """The row that was trained with soft targets and nothing else."""
    return _row_of(results, ["SoftTargets"])


def shown_row(results: dict) -> str:
    """The row that stands for a run in the table of all runs: of methods the best one."""
    return order(results)[0] if has_methods(results) else list(results["rows"])[-1]


def table(results: dict) -> list[list[str]]:
    """The rows as text, the header first, the teacher last."""
    rows, baseline = results["rows"], soft_targets_row(results)
    body = []
    for name in order(results):
        row = rows[name]
        difference = "-"
        if baseline not in (None, name):
            difference = _signed(differences(results, name, baseline))
        body.append([name, _percent(row["test"]), difference, *_costs(results, row)])
    if "teacher" in rows:
        body.append(["teacher", _percent(rows["teacher"]["test"]), "-", "-", "-", "-"])
    return [list(COLUMNS), *body]


def conclusions(results: dict) -> list[str]:
    """Which methods beat soft targets alone, and which do not, in sentences."""
    baseline = soft_targets_row(results)
    if baseline is None:
        return []
    groups = {"above": [], "level": [], "below": []}
    for name in order(results):
        if name != baseline:
            groups[_verdict(differences(results, name, baseline))].append(name)
    seeds = len(results["rows"][baseline]["per_seed"])
    words = {
        "above": "Better than soft targets alone by more than two standard errors",
        "level": "Within two standard errors of soft targets alone",
        "below": "Worse than soft targets alone by more than two standard errors",
    }
    return [
        f"{words[key]} ({seeds} seeds, paired): {', '.join(names) or 'none'}.\n"
        for key, names in groups.items()
    ]


def differences(results: dict, name: str, other: str) -> list[float]:
    """Percentage points of test accuracy by which one row beats another, seed by seed."""
    sides = (results["rows"][row]["per_seed"] for row in (name, other))
    return [
        100 * (a["test"]["accuracy"] - b["test"]["accuracy"]) for a, b in zip(*sides, strict=True)
    ]


def _verdict(gains):
    mean = float(np.mean(gains))
    error = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    if abs(mean) <= 2 * error:
        return "level"
    return "above" if mean > 0 else "below"


def _row_of(results, losses):
    names = [n for n, row in results["rows"].items() if row.get("losses") == losses]
    return names[0] if names else None


def _costs(results, row):
    plain = _row_of(results, [])
    own = row.get("training")
    if own is None:
        return ["-", "-", "-"]
    base = results["rows"][plain]["training"] if plain else None
    memory = "-"
    if base is not None:
        memory = f"{(own['peak_bytes'] - base['peak_bytes']) / 2**20:+,.0f}"
    return [f"{own['step_ms']:.1f}", memory, f"{own['extra_parameters']:,}"]


def _percent(split):
    spread = "" if split["spread"] is None else f" ± {100 * split['spread']:.2f}"
    return f"{100 * split['accuracy']:.2f} %{spread}"


def _signed(gains):
    spread = f" ± {np.std(gains, ddof=1):.2f}" if len(gains) > 1 else ""
    return f"{np.mean(gains):+.2f}{spread}"
