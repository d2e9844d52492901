"""What a training step of one phase costs, measured in a fresh process.

python -m kzoo.recipes._training_costs PHASE < recipe.json
"""

import json
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
        RuntimeError: where the process fails.
    """
    fields = json.dumps(recipe.model_dump(mode="json"))
    done = subprocess.run(
        [sys.executable, "-m", __name__, phase], input=fields, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"Measuring {phase!r} failed: {done.stderr.strip().splitlines()[-1]}")
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
    # ru_maxrss counts KiB on Linux and bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "step_ms": min(log["step_ms"][1:]),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "extra_parameters": trained - own,
    }


if __name__ == "__main__":
    described = schema.Recipe.model_validate(json.load(sys.stdin))
    print(json.dumps(measure(described, sys.argv[1])))
