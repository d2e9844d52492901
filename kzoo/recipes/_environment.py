"""With what a run was trained."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess

import keras

from kzoo.recipes import _device

_PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")
# Set by the user, they change speed and the order of sums.
_SETTINGS = ("TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS")


def environment() -> dict:
    """Date, backend, device, versions, settings and commit."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "backend": keras.backend.backend(),
        "device": _device.name(),
        "python": platform.python_version(),
        "versions": versions,
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "commit": _commit(),
    }


def _commit():
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
