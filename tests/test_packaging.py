import configparser
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def setup():
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    return parsed


def test_every_package_is_listed_because_an_unlisted_one_is_dropped_from_the_wheel(setup):
    found = {
        ".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("kzoo/**/__init__.py")
    }
    found |= {"kzoo.weights", "kzoo.weights.probes"}
    assert set(setup["options"]["packages"].split()) == found


def test_dependencies_include_what_tensorflow_datasets_forgets(setup):
    assert "importlib_resources" in setup["options"]["install_requires"].split()


def test_the_readme_names_everything_registered_and_stays_short():
    from kzoo import registry

    readme = (ROOT / "README.md").read_text()
    missing = [e.name for e in registry.entries() if f"`{e.name}`" not in readme]
    assert not missing
    assert len(readme.splitlines()) <= 150


@pytest.mark.slow
def test_a_wheel_carries_weights_and_marker(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("kzoo-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "kzoo/py.typed" in names
    assert "kzoo/weights/manifest.json" in names
    recorded = {f"kzoo/weights/{p.name}" for p in (ROOT / "weights").glob("*.weights.h5")}
    assert recorded <= set(names)
