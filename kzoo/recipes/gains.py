"""What methods gained over the rows that they are compared with, of several runs in one table."""

from kzoo.recipes import _cells, leaderboard

_HEADER = ["run", "method", "test accuracy", "compared with", "its accuracy", "difference"]


def table(runs: dict[str, dict]) -> list[list[str]]:
    """The compared rows as text, in the order of the recipes, the header first.

    Differences are percentage points of test accuracy, paired by seed; the word after each says
    whether its 95 % interval excludes 0.

    Args:
        runs: results by what stands in the first column.
    """
    body = []
    for link, results in runs.items():
        for method in results["recipe"]["methods"]:
            name = method["name"]
            other = leaderboard.baseline(results, name)
            if other is None:
                continue
            own, its = (_cells.accuracy(results["rows"][row], "test") for row in (name, other))
            gains = leaderboard.differences(results, name, other)
            body.append([link, name, own, other, its, leaderboard.judged(gains, "not told apart")])
    return [_HEADER, *body]
