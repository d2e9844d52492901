import io

import pytest
import rich.console

from kzoo.recipes import report


def row(*accuracies):
    return {
        "per_seed": [
            {"seed": seed, "test": {"accuracy": a, "loss": 1.0}, "seconds": 30.0}
            for seed, a in enumerate(accuracies)
        ],
        "test": {"accuracy": sum(accuracies) / len(accuracies), "spread": 0.01},
        "parameters": 1234,
        "multiply_adds": 56789,
        "latency_ms": 1.234,
        "weights_bytes": 2048,
    }


@pytest.fixture
def results():
    return {
        "title": "a title",
        "run_id": "0" * 8,
        "recipe": {},
        "published": {"the paper": {"accuracy": 0.9, "difference": 0.02}},
        "rows": {"student alone": row(0.90, 0.92), "distilled student": row(0.93, 0.93)},
        "environment": {
            "device": "a CPU",
            "backend": "tensorflow",
            "date": "2026-01-01",
            "versions": {"keras": "3"},
        },
    }


def test_table_shows_mean_and_spread(results):
    header, alone, _ = report.table(results)
    assert header[0] == "model"
    assert alone == [
        "student alone", "91.00 % ± 1.00", "-", "1,234", "56,789", "1.23", "2",
    ]  # fmt: skip


def test_eighty_columns_hold_the_table_with_whole_words(results):
    results["rows"]["distilled student"] |= {"multiply_adds": 22_199_748, "latency_ms": 1234.56}
    console = rich.console.Console(width=80, record=True, file=io.StringIO())
    console.print(report.terminal(report.table(results), "a title"))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for word in ("distilled student", "validation", "multiply-adds", "22,199,748", "± 1.00"):
        assert word in text


def test_card_names_the_settings_that_change_sums(results):
    assert "keras 3; 2026-01-01" in report.card(results)
    results["environment"]["settings"] = {"TF_ENABLE_ONEDNN_OPTS": "1"}
    assert "keras 3; TF_ENABLE_ONEDNN_OPTS=1; 2026-01-01" in report.card(results)


def test_gain_is_paired_by_seed(results):
    # gains of 3 and 1 points: mean 2, sample standard deviation sqrt(2)
    assert "+2.00 ± 1.41 percentage points (2 seeds, paired)" in report.gain(results)


def test_gain_is_silent_where_nothing_was_compared(results):
    del results["rows"]["student alone"]
    assert report.gain(results) == ""


def test_card_states_the_published_figure_and_the_difference(results):
    text = report.card(results)
    assert "Published (the paper): 0.9000; difference +2.00 percentage points." in text
    assert "2.0 minutes of training on a CPU" in text
