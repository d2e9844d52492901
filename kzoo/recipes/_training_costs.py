"""What a training step of one phase costs, measured in a fresh process.

python -m kzoo.recipes._training_costs PHASE < recipe.json
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import warnings

import keras
import numpy as np

from kzoo.recipes import build, plan, schema
from kzoo.recipes._fit import asks_for_numbers
from kzoo.recipes._progress import Clock

_STEPS, _ROUNDS = 8, 4


def in_fresh_process(recipe, phase: str) -> dict:
    """`step_ms`, `peak_bytes` and `extra_parameters` of a phase, alone in a process.

    Raises:
        ValueError: in one line, where the process fails.
    """
    fields = json.dumps(recipe.model_dump(mode="json"))
    # This process keeps most of an accelerator's memory; the other takes what it needs of the rest.
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    done = subprocess.run(
        [sys.executable, "-m", __name__, phase],
        input=fields,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(
            f"Measuring {phase!r} failed: {said[-1]}. What was trained is kept: run the same "
            "command again."
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(recipe, name: str) -> dict:
    """The same in this process: random weights, random images, the best of a few rounds."""
    spec = build.dataset(recipe.data).spec
    phases = {phase.name: phase for phase in plan.phases(recipe, spec)}
    phase, size = phases[name], recipe.data.batch_size
    clock = build.Clock(phase.fit_epochs, _STEPS, spec.sizes["train"])
    teacher = {n: p.classifier() for n, p in phases.items() if n == "teacher"}
    fitted, classifier = phase.make(teacher, clock)
    fitted.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    images = generator.standard_normal((_STEPS * size, *spec.image_shape)).astype("float32")
    labels = generator.integers(0, spec.classes, len(images))
    numbers = np.arange(len(images), dtype="int32") % spec.sizes["train"]
    x = {"inputs": images, "sample_index": numbers} if asks_for_numbers(fitted) else images
    with warnings.catch_warnings():
        # The teacher is untrained on purpose.
        warnings.filterwarnings("ignore", message="The teacher .* no better than chance")
        log = fitted.fit(
            x,
            labels,
            batch_size=size,
            epochs=_ROUNDS,
            shuffle=False,
            verbose=0,
            callbacks=[Clock()],
        ).history
    trained = sum(int(np.prod(v.shape)) for v in fitted.trainable_variables)
    own = sum(int(np.prod(v.shape)) for v in classifier.trainable_variables)
    return {
        "step_ms": min(log["step_ms"][1:]),
        "peak_bytes": _peak_bytes(),
        "extra_parameters": trained - own,
    }


def _peak_bytes():
    """Peak resident size of this process."""
    # Linux hands the parent's `ru_maxrss` down to a subprocess; VmHWM is the process's own.
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    described = schema.Recipe.model_validate(json.load(sys.stdin))
    print(json.dumps(measure(described, sys.argv[1])))
