"""Methods side by side: what each brought, and what it cost."""

import numpy as np

from kzoo.recipes import _cells

COLUMNS = (
    "method",
    "test accuracy",
    "difference",
    "step (ms)",
    "extra memory (MiB)",
    "extra parameters",
)


def has_methods(results: dict) -> bool:
    """Whether a run compared methods."""
    return bool(results["recipe"].get("methods"))


def diverged(row: dict) -> list[int]:
    """The seeds of a row whose loss became NaN."""
    return [run["seed"] for run in row["per_seed"] if "diverged" in run]


def order(results: dict) -> list[str]:
    """The rows of students, the best mean test accuracy first; none with a seed that diverged."""
    students = _students(results, lambda row: not diverged(row))
    return sorted(students, key=lambda n: -results["rows"][n]["test"]["accuracy"])


def common_baseline(results: dict) -> str | None:
    """Soft targets and nothing else, which methods with companions are compared with."""
    name = _soft_targets(results)
    return None if name is None or diverged(results["rows"][name]) else name


def _soft_targets(results):
    if not results["recipe"].get("companions"):
        return None
    return _row_of(results, ["SoftTargets"])


def shown_row(results: dict) -> str:
    """The row that stands for a run in the table of all runs: of methods the exported one."""
    return results["exported"] if has_methods(results) else list(results["rows"])[-1]


def table(results: dict) -> list[list[str]]:
    """The rows as text, the header first, the teacher last."""
    rows, body = results["rows"], []
    for name in order(results):
        row, other = rows[name], baseline(results, name)
        difference = "-" if other is None else _cells.signed(differences(results, name, other))
        body.append([name, _cells.accuracy(row, "test"), difference, *_costs(results, name)])
    for name in _students(results, diverged):
        row = rows[name]
        body.append([name, _how_often(row), "-", *_costs(results, name)])
    if "teacher" in rows:
        body.append(["teacher", _cells.accuracy(rows["teacher"], "test"), "-", "-", "-", "-"])
    return [list(COLUMNS), *body]


def baseline(results: dict, name: str) -> str | None:
    """The row that a row is compared with.

    The one its recipe names, else soft targets alone where methods have companions; with its
    companions, a method is compared with what it is compared with alone. A row that diverged is
    compared with nothing, and nothing with it.
    """
    other = _named(results, name) or _soft_targets(results)
    if other is None or other == name:
        return None
    rows = results["rows"]
    return None if diverged(rows[name]) or diverged(rows[other]) else other


def _named(results, name):
    """The row that the recipe says a row is compared with, or `None`."""
    companions = results["recipe"].get("companions", ())
    suffix = "".join(f" + {loss['name']}" for loss in companions)
    named = {
        m["name"] + end: m.get("against")
        for m in results["recipe"]["methods"]
        for end in ("", suffix)
    }
    return named.get(name)


def conclusions(results: dict) -> list[str]:
    """The differences, which of them chance would hardly give, NaN, and the omitted classes."""
    against = sorted({baseline(results, name) for name in order(results)} - {None})
    rest = [*_divergences(results), *_omitted(results)]
    if not against:
        return rest
    return [
        "Difference: percentage points of test accuracy, paired by seed, against "
        f"{'; '.join(against)}.\n",
        *_verdicts(results),
        *rest,
    ]


def _verdicts(results):
    """The rows by their verdict; none of one seed, which has no interval."""
    groups = {"better": [], "level": [], "worse": []}
    for name in order(results):
        other = baseline(results, name)
        gains = [] if other is None else differences(results, name, other)
        if len(gains) == 1:
            return ["One seed: no interval, and nothing is told apart.\n"]
        if gains:
            groups[verdict(gains)].append(name)
    words = {
        "better": "Better: the 95 % interval of the mean difference lies above 0",
        "level": "Not to be told apart: the interval holds 0",
        "worse": "Worse: the interval lies below 0",
    }
    return [
        *(f"{words[key]}: {'; '.join(names) or 'none'}.\n" for key, names in groups.items()),
        "The intervals stand each for itself: of many rows one in twenty misses by chance.\n",
    ]


def _divergences(results):
    """Which rows became NaN; no mean of their other seeds is given, since it would flatter."""
    return [
        f"{name} became NaN ({_how_often(results['rows'][name])}).\n"
        for name in _students(results, diverged)
    ]


def _omitted(results):
    """Errors on classes that a method never saw, before and after the correction of the bias."""
    sentences = []
    for name in order(results):
        found = [run["omitted"] for run in results["rows"][name]["per_seed"] if "omitted" in run]
        if found:
            images = found[0]["omitted"]["images"]
            errors = [_mean(run["omitted"][key] for run in found) for key in ("before", "after")]
            total = [_mean(run[key] for run in found) for key in ("before", "after")]
            sentences.append(
                f"{name}: of {images} test images of the omitted class {errors[0]} were wrong, "
                f"{errors[1]} after its bias was raised by {_mean(r['bias'] for r in found)}; of "
                f"all {found[0]['images']} test images {total[0]}, then {total[1]}.\n"
            )
    return sentences


def _mean(values):
    values = list(values)
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def differences(results: dict, name: str, other: str) -> list[float]:
    """Percentage points of test accuracy by which one row beats another, seed by seed."""
    sides = (results["rows"][row]["per_seed"] for row in (name, other))
    return [
        100 * (a["test"]["accuracy"] - b["test"]["accuracy"]) for a, b in zip(*sides, strict=True)
    ]


def verdict(gains: list[float]) -> str:
    """`better` or `worse` where Student's 95 % interval of the mean excludes 0, else `level`."""
    from scipy import stats

    if len(gains) < 2:
        return "level"
    mean, error = np.mean(gains), np.std(gains, ddof=1) / np.sqrt(len(gains))
    if abs(mean) <= stats.t.ppf(0.975, len(gains) - 1) * error:
        return "level"
    return "better" if mean > 0 else "worse"


def judged(gains: list[float], level: str = "level") -> str:
    """Differences as text, with their verdict where several seeds give one.

    Args:
        gains: percentage points, one a seed.
        level: the word for what is neither better nor worse.
    """
    if len(gains) < 2:
        return _cells.signed(gains)
    word = verdict(gains)
    return f"{_cells.signed(gains)}, {level if word == 'level' else word}"


def _row_of(results, losses, **facts):
    wanted = {"losses": losses, **facts}
    rows = results["rows"].items()
    return next((n for n, row in rows if all(row.get(k) == v for k, v in wanted.items())), None)


def labels_alone(results: dict, name: str) -> str | None:
    """The row of the same model trained on the labels alone; methods may have their own models."""
    named = _named(results, name)
    if named is not None and results["rows"][named].get("losses") == []:
        return named
    return _row_of(results, [], parameters=results["rows"][name]["parameters"])


def _costs(results, name):
    plain = labels_alone(results, name)
    own = results["rows"][name].get("training")
    if own is None:
        return ["-", "-", "-"]
    base = results["rows"][plain]["training"] if plain else None
    memory = "-"
    if base is not None:
        memory = f"{(own['peak_bytes'] - base['peak_bytes']) / 2**20:+,.0f}"
    return [f"{own['step_ms']:.1f}", memory, f"{own['extra_parameters']:,}"]


def _students(results, wanted):
    rows = results["rows"].items()
    return [name for name, row in rows if "losses" in row and wanted(row)]


def _how_often(row):
    return f"diverged: {len(diverged(row))} of {len(row['per_seed'])} seeds"
