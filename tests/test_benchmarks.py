import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("[!_]*.py"))


def ratios(found):
    """All numbers whose key speaks of a ratio, at any depth."""
    if not isinstance(found, dict):
        return
    for key, value in found.items():
        if isinstance(value, int | float) and ("ratio" in key or "_over_this_" in key):
            yield value
        yield from ratios(value)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_quick_form_of_a_benchmark_writes_ratios(script, tmp_path):
    out = tmp_path / "result.json"
    subprocess.run(
        [sys.executable, str(script), "--quick", "--out", str(out)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found = list(ratios(json.loads(out.read_text())))
    assert found
    assert all(value > 0 for value in found)


def test_make_bench_runs_every_script():
    makefile = (ROOT / "Makefile").read_text()
    (line,) = [text for text in makefile.splitlines() if text.strip().startswith("for script in")]
    listed = line.split(" in ")[1].split(";")[0].split()
    assert sorted(listed) == [script.stem for script in SCRIPTS]


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def dense_block_rows():
    """network, form, and what plain Keras layers need over what the form needs."""
    for network, forms in result("dense_block")["networks"].items():
        for form, found in forms.items():
            if form == "keras":
                continue
            keys = ("cpu_seconds_median", "activations_mb", "peak_mb")
            ratios = [f"{found[f'keras_over_this_{key}']:.2f}" for key in keys]
            yield [network, f"`{form.replace('+', '`, `')}`", *ratios, f"{found['peak_mb']:,.0f}"]


def clock_rows(name, suffix=""):
    """Wall and CPU ratio of a benchmark with two contestants."""
    found = result(name)
    yield [f"{found[f'{clock}{suffix}_ratio']:.2f}" for clock in ("wall", "cpu")]


def losses_rows():
    """What a step with more losses takes over one with soft targets alone."""
    found = result("losses")
    names = {
        "all_ratio": "all but the two below",
        "BoundarySupport_ratio": "`BoundarySupport`",
        "ContrastiveRepresentation_ratio": "`ContrastiveRepresentation`",
    }
    for key, name in names.items():
        yield [name, *(f"{found[f'{clock}_median_ratio'][key]:.2f}" for clock in ("wall", "cpu"))]


def relational_rows():
    """How much more time and memory the broadcast form takes."""
    found = result("relational")
    for key, name in (("distance", "`RelationalDistance`"), ("angle", "`RelationalAngle`")):
        yield [name, *(f"{found[key][f'{what}_ratio']:.1f}" for what in ("time", "memory"))]


def teacher_cache_rows():
    """What an epoch with a teacher takes over one on the labels alone."""
    found = result("teacher_cache")
    for kind, name in (("live", "live teacher"), ("cached", "recorded teacher")):
        yield [name, *(f"{found[f'{clock}_{kind}_ratio']:.2f}" for clock in ("wall", "cpu"))]


def mutual_learning_rows():
    """What a step of mutual learning takes over a plain step of each network."""
    for count, found in result("mutual_learning")["networks"].items():
        for mode in ("simultaneous", "sequential"):
            ratios = [found[f"{clock}_median_ratio"][f"{mode}_ratio"] for clock in ("wall", "cpu")]
            yield [count, f'`"{mode}"`', *(f"{ratio:.2f}" for ratio in ratios)]


def table(header, rows):
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def tables():
    clocks = ["wall time ratio", "CPU time ratio"]
    block = ["network", "form", "CPU time ratio", "activations ratio", "peak ratio", "peak (MB)"]
    yield table(block, dense_block_rows())
    yield table(clocks, clock_rows("distiller", "_median"))
    yield table(clocks, clock_rows("pipeline"))
    yield table(["losses", "wall time ratio", "CPU time ratio"], losses_rows())
    yield table(["loss", "time ratio", "memory ratio"], relational_rows())
    yield table(["training", "wall time ratio", "CPU time ratio"], teacher_cache_rows())
    yield table(["networks", "mode", "wall time ratio", "CPU time ratio"], mutual_learning_rows())


def test_the_page_on_performance_repeats_the_results():
    page = (ROOT / "docs" / "performance.md").read_text()
    assert [expected for expected in tables() if expected not in page] == []
