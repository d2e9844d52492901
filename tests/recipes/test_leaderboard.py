"""The table and the sentences of methods side by side, from made-up results."""

import pytest

from kzoo.recipes import leaderboard, overview


def row(accuracies, losses, step=10.0, peak=2**30, extra=0):
    mean = sum(accuracies) / len(accuracies)
    return {
        "per_seed": [{"seed": n, "test": {"accuracy": a}} for n, a in enumerate(accuracies)],
        "test": {"accuracy": mean, "spread": 0.01},
        "losses": losses,
        "parameters": 100,
        "training": {"step_ms": step, "peak_bytes": peak, "extra_parameters": extra},
    }


@pytest.fixture
def results():
    teacher = row([0.95], None)
    del teacher["losses"]
    names = ["labels", "soft targets", "sure", "unsure", "worse"]
    return {
        "recipe": {
            "methods": [{"name": name} for name in names],
            "companions": [{"name": "SoftTargets"}],
        },
        "exported": "sure",
        "rows": {
            "teacher": teacher,
            "labels": row([0.80, 0.81, 0.82], []),
            "soft targets": row([0.85, 0.86, 0.87], ["SoftTargets"]),
            "sure": row([0.90, 0.912, 0.921], ["Hint"], 12.5, 2**30 + 2**21, 1234),
            "unsure": row([0.86, 0.86, 0.89], ["Hint"]),
            "worse": row([0.80, 0.811, 0.819], ["Hint"]),
        },
    }


def test_rows_are_ordered_and_compared_with_soft_targets(results):
    header, *rows = leaderboard.table(results)
    assert header == list(leaderboard.COLUMNS)
    assert [cells[0] for cells in rows] == [
        "sure", "unsure", "soft targets", "labels", "worse", "teacher",
    ]  # fmt: skip
    assert rows[0] == ["sure", "91.10 % ± 1.00", "+5.10 ± 0.10", "12.5", "+2", "1,234"]
    assert rows[2][2] == "-"
    assert rows[-1][2:] == ["-"] * 4


def test_what_is_sure_is_said(results):
    better, level, worse = leaderboard.conclusions(results)[1:4]
    assert better.endswith("sure.\n")
    assert "unsure" in level
    assert "labels" in worse
    assert "worse" in worse


def test_one_seed_decides_nothing(results):
    for each in results["rows"].values():
        each["per_seed"] = each["per_seed"][:1]
    assert leaderboard.conclusions(results)[1:] == [
        "One seed: no interval, and nothing is told apart.\n"
    ]


def test_a_row_may_name_what_it_is_compared_with(results):
    results["recipe"]["methods"][2]["against"] = "labels"
    assert leaderboard.baseline(results, "sure") == "labels"
    results["rows"]["sure + SoftTargets"] = results["rows"]["sure"]
    assert leaderboard.baseline(results, "sure + SoftTargets") == "labels"
    results["recipe"]["companions"] = []
    assert leaderboard.baseline(results, "unsure") is None
    assert leaderboard.table(results)[2][2] == "-"


def test_errors_on_an_omitted_class(results):
    counts = {"images": 1000, "before": 300, "after": 200}
    for run in results["rows"]["sure"]["per_seed"]:
        run["omitted"] = {
            **counts,
            "bias": 3.5,
            "omitted": {"images": 90, "before": 60, "after": 9},
        }
    text = leaderboard.conclusions(results)[-1]
    assert "of 90 test images of the omitted class 60.0 ± 0.0 were wrong, 9.0 ± 0.0 after" in text
    assert "of all 1000 test images 300.0 ± 0.0, then 200.0 ± 0.0" in text


def diverge(row, seed):
    row["per_seed"][seed] = {"seed": seed, "diverged": "the loss is not finite"}


def test_a_method_that_diverged_is_last_and_has_no_mean(results):
    diverge(results["rows"]["sure"], 1)
    table = leaderboard.table(results)
    assert [cells[0] for cells in table[-3:]] == ["worse", "sure", "teacher"]
    assert table[-2] == ["sure", "diverged: 1 of 3 seeds", "-", "12.5", "+2", "1,234"]
    assert "sure" not in leaderboard.order(results)
    sentences = leaderboard.conclusions(results)
    assert sentences[-1] == "sure became NaN (diverged: 1 of 3 seeds).\n"
    assert sentences[1].endswith("none.\n")


def test_nothing_is_compared_with_what_diverged(results):
    results["recipe"]["methods"][3]["against"] = "labels"
    diverge(results["rows"]["soft targets"], 0)
    assert leaderboard.common_baseline(results) is None
    assert leaderboard.baseline(results, "unsure") == "labels"
    diverge(results["rows"]["labels"], 0)
    assert leaderboard.baseline(results, "unsure") is None
    assert leaderboard.conclusions(results) == [
        "labels became NaN (diverged: 1 of 3 seeds).\n",
        "soft targets became NaN (diverged: 1 of 3 seeds).\n",
    ]


def test_overview_has_a_method_alone_and_together_in_one_line(results):
    rows = results["rows"]
    rows["sure + SoftTargets"] = row([0.90, 0.91, 0.92], ["SoftTargets", "Hint"])
    rows["worse + SoftTargets"] = row([0.90, 0.91, 0.95], ["SoftTargets", "Hint"])
    diverge(rows["worse + SoftTargets"], 0)
    header, *lines = overview.table(results)
    assert header == ["method", "alone", "difference", "with SoftTargets", "difference"]
    assert [line[0] for line in lines] == ["sure", "unsure", "soft targets", "labels", "worse"]
    assert lines[0] == [
        "sure", "91.10 % ± 1.00", "+5.10 ± 0.10, better", "91.00 % ± 1.00", "+5.00 ± 0.00, better",
    ]  # fmt: skip
    assert lines[1][2].endswith(", level")
    assert lines[4][2].endswith(", worse")
    assert lines[2][1:] == ["86.00 % ± 1.00", "-", "-", "-"]
    assert lines[4][3:] == ["diverged", "-"]


def test_an_overview_wants_methods_with_companions(results):
    results["title"] = "a run"
    del results["recipe"]["companions"]
    with pytest.raises(ValueError, match=r"The run 'a run' has none: leave its overview out"):
        overview.table(results)
