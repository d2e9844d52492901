"""What the backend computes on, and how much of its memory this process has held."""

import os
import pathlib
import platform
import resource
import sys

import keras

_STATUS = pathlib.Path("/proc/self/status")
_CLEAR = pathlib.Path("/proc/self/clear_refs")


def name() -> str:
    """The accelerator, else the processor and its cores."""
    found = _accelerator()
    return found[0] if found else f"{platform.machine()} CPU, {os.cpu_count()} cores"


def forget_peak() -> None:
    """Let `peak_bytes` count from here, where the system can do that."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def peak_bytes() -> int:
    """The most memory held: of the accelerator, else the resident size of this process."""
    found = _accelerator()
    if found:
        return int(found[1]())
    # Linux hands the parent's `ru_maxrss` down to a subprocess; VmHWM is the process's own.
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _accelerator():
    """Its name and a function that gives the peak of its memory; `None` on a processor."""
    return {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}[
        keras.backend.backend()
    ]()


def _of_tensorflow():
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return None
    details = tf.config.experimental.get_device_details(devices[0])
    return (
        details.get("device_name", "GPU"),
        lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"],
    )


def _of_jax():
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    return device.device_kind, lambda: device.memory_stats()["peak_bytes_in_use"]


def _of_torch():
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(), torch.cuda.max_memory_allocated
