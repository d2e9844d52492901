"""A leaderboard in short: one line per method, alone and together with the companions."""

from kzoo.recipes import _cells, leaderboard


def table(results: dict) -> list[list[str]]:
    """The methods as text, the header first, the best on top.

    What counts is the better mean of the two. The differences, in percentage points, are
    against the row that the leaderboard compares with; the word after each says whether its 95 %
    interval excludes 0.

    Raises:
        ValueError: for a run without methods, or whose methods have no companions.
    """
    if not leaderboard.has_methods(results) or "companions" not in results["recipe"]:
        raise ValueError(
            f"An overview shows [[methods]] with [[companions]]. The run {results['title']!r} has "
            "none: leave its overview out."
        )
    companions = " + ".join(loss["name"] for loss in results["recipe"]["companions"])
    lines = []
    for method in results["recipe"]["methods"]:
        alone, together = method["name"], f"{method['name']} + {companions}"
        best = max(_mean_accuracy(results, alone), _mean_accuracy(results, together))
        cells = (_accuracy(results, alone), _difference(results, alone))
        cells += (_accuracy(results, together), _difference(results, together))
        lines.append((best, [alone, *cells]))
    lines.sort(key=lambda line: -line[0])
    header = ["method", "alone", "difference", f"with {companions}", "difference"]
    return [header, *(cells for _, cells in lines)]


def _mean_accuracy(results, name):
    whole = name in leaderboard.order(results)
    return results["rows"][name]["test"]["accuracy"] if whole else 0.0


def _accuracy(results, name):
    if name not in results["rows"]:
        return "-"
    row = results["rows"][name]
    return "diverged" if leaderboard.diverged(row) else _cells.accuracy(row, "test")


def _difference(results, name):
    if name not in leaderboard.order(results):
        return "-"
    other = leaderboard.baseline(results, name)
    if other is None:
        return "-"
    return leaderboard.judged(leaderboard.differences(results, name, other))
