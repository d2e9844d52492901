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

LIGHT = (
    "applications",
    "callbacks",
    "data",
    "export",
    "initializers",
    "layers",
    "losses",
    "pretrained",
    "registry",
    "taps",
    "trainers",
)
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
ALL = "; ".join(f"import kzoo.{name}" for name in LIGHT)


def python(code, **environment):
    """Run code in a new process; what it printed."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout, process.stderr


def test_import_prints_nothing():
    """TensorFlow writes notes to stderr while Keras is imported; nothing may follow them."""
    marked = "import keras, sys; print('MARK', file=sys.stderr, flush=True); import kzoo"
    output, notes = python(marked)
    assert output == ""
    assert notes.endswith("MARK\n")


def test_import_costs_at_most_0_3_seconds_more_than_keras():
    """Processor time, which other processes hardly lengthen; the best of three."""
    code = (
        "import time, keras; start = time.process_time(); import kzoo; "
        "print(time.process_time() - start)"
    )
    assert any(float(python(code)[0].split()[-1]) <= 0.3 for _ in range(3))


def test_packages_import_nothing_heavy():
    """Beyond what Keras itself has loaded."""
    code = (
        "import json, sys, keras; before = set(sys.modules); "
        f"{ALL}; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = json.loads(python(code)[0].splitlines()[-1])
    assert "kzoo.layers" in loaded
    assert not HEAVY & {name.split(".")[0] for name in loaded}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_tensorflow_at_its_top(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names]
    named += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert "tensorflow" not in {name.split(".")[0] for name in named}


@pytest.mark.parametrize("name", [*LIGHT, "recipes", "testing"])
def test_sub_packages_are_attributes(name):
    assert name in dir(kzoo)
    assert getattr(kzoo, name).__name__ == f"kzoo.{name}"


def test_unknown_attributes_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kzoo.nothing
