import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


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
