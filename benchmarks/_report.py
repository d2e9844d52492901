"""What every benchmark says about itself: settings, machine, versions; printed and written."""

import json
import os
import pathlib
import platform
import resource
import statistics
import sys
import time

import keras


def emit(name, settings, found, out=None):
    """Print the results as JSON, and write them where a file is given."""
    result = {
        "benchmark": name,
        "settings": settings,
        "machine": {"processor": platform.machine(), "cpus": os.cpu_count()},
        "versions": {
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "python": platform.python_version(),
        },
        **found,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if out:
        pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(out).write_text(text + "\n")


def in_turn(steps, warmup, contestants):
    """Wall and CPU seconds of calls that take turns, so that a busy machine slows all alike.

    Args:
        steps: timed calls of each.
        warmup: calls before that.
        contestants: name -> function without arguments.
    """
    times = {name: {"wall": [], "cpu": []} for name in contestants}
    for step in range(warmup + steps):
        for name, call in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if step >= warmup:
                times[name]["wall"].append(wall)
                times[name]["cpu"].append(cpu)
    return times


def clocks(times, reference):
    """Medians and minima in milliseconds, and each over that of `reference`."""
    found = {}
    for clock in ("cpu", "wall"):
        for label, reduce in (("median", statistics.median), ("minimum", min)):
            value = {name: 1e3 * reduce(seconds[clock]) for name, seconds in times.items()}
            found[f"{clock}_{label}_milliseconds"] = {n: round(v, 2) for n, v in value.items()}
            found[f"{clock}_{label}_ratio"] = {
                f"{n}_ratio": round(v / value[reference], 3)
                for n, v in value.items()
                if n != reference
            }
    return found


def peak_resident_mb():
    """Peak resident size of this process."""
    # Linux hands the parent's `ru_maxrss` down to a subprocess; VmHWM is the process's own.
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
