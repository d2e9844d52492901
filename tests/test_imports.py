"""What `import kzoo` costs, prints and drags in."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kzoo

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "kzoo").rglob("*.py"))

HEAVY = {
    "matplotlib",
    "pydantic",
    "rich",
    "sklearn",
    "tensorboard",
    "tensorflow",
    "tensorflow_datasets",
    "typer",
}
PROBE = """
import json, sys, time
import keras

print("MARK", flush=True)
print("MARK", file=sys.stderr, flush=True)
before, start = set(sys.modules), time.process_time()
import kzoo

seconds = time.process_time() - start
print("MARK", flush=True)
print("MARK", file=sys.stderr, flush=True)
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""


def probe():
    """What `import kzoo` does after `import keras`: its output, its cost, what it loads."""
    # Bytecode is kept, as it is by default: what compiles kzoo anew measures the compiler.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    _, printed, last = process.stdout.split("MARK")
    return {"printed": (printed, process.stderr.split("MARK")[1]), **json.loads(last)}


@pytest.fixture(scope="module")
def imported():
    return probe()


def test_import_prints_nothing(imported):
    assert [text.strip() for text in imported["printed"]] == ["", ""]


def test_import_costs_at_most_0_3_seconds_more_than_keras(imported):
    """Processor time, which other processes hardly lengthen; the best of three."""
    assert imported["seconds"] <= 0.3 or any(probe()["seconds"] <= 0.3 for _ in range(2))


def test_import_loads_nothing_heavy(imported):
    """Beyond what Keras itself has loaded."""
    assert "kzoo.registry" in imported["modules"]
    assert not HEAVY & {name.split(".")[0] for name in imported["modules"]}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_tensorflow_at_its_top(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names]
    named += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert "tensorflow" not in {name.split(".")[0] for name in named}


@pytest.mark.parametrize("name", [name for name in kzoo.__all__ if name != "__version__"])
def test_sub_packages_are_attributes(name):
    assert name in dir(kzoo)
    assert getattr(kzoo, name).__name__ == f"kzoo.{name}"


def test_unknown_attributes_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kzoo.nothing
