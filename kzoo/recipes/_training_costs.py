"""What a training step of one phase costs, measured in a fresh process.

python -m kzoo.recipes._training_costs PHASE RUN < recipe.json
"""

import json
import os
import pathlib
import subprocess
import sys
import warnings

import keras
import numpy as np

from kzoo import trainers
from kzoo.recipes import _device, _trainers, build, files, plan, schema
from kzoo.recipes._fit import asks_for_numbers
from kzoo.recipes._progress import Clock
from kzoo.recipes.method_section import MethodSection

_STEPS, _ROUNDS = 8, 4
_PLAIN = MethodSection(name="plain")


def in_fresh_process(recipe, phase: str, run: pathlib.Path) -> dict:
    """`step_ms`, `peak_bytes` and `extra_parameters` of a phase, alone in a process.

    Args:
        recipe: the `schema.Recipe`.
        phase: the name of its row.
        run: the folder of the run, with what it trained for its first seed.

    Raises:
        ValueError: in one line, where the process fails.
    """
    fields = json.dumps(recipe.model_dump(mode="json"))
    # This process keeps most of an accelerator's memory; the other takes what it needs of the rest.
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    done = subprocess.run(
        [sys.executable, "-m", __name__, phase, str(run)],
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


def measure(recipe, name: str, run: pathlib.Path) -> dict:
    """The same in this process: trained weights, training images, the best of a few rounds."""
    dataset = build.dataset(recipe.data)
    phases = {phase.name: phase for phase in plan.phases(recipe, dataset.spec)}
    phase = phases[name]
    trained = {n: _trained(p, recipe, run) for n, p in phases.items() if n in ("teacher", name)}
    clock = build.Clock(phase.fit_epochs, _STEPS, dataset.spec.sizes["train"])
    fitted, classifier = phase.make(trained, clock)
    # How long some steps take depends on what the student can: an attack wants right answers.
    classifier.set_weights(trained[name].get_weights())
    still = _trainers.optimizer(fitted, lambda section: keras.optimizers.SGD(0.0), _PLAIN, recipe)
    fitted.compile(still, "sparse_categorical_crossentropy")
    images = _images(fitted, phase.feed(recipe), dataset)
    _device.forget_peak()
    with warnings.catch_warnings():
        # Of what a recipe shrunk to seconds has trained, nothing is good. A first stage is no step
        # of fit.
        warnings.filterwarnings("ignore", message="The teacher .* no better than chance")
        warnings.filterwarnings("ignore", message="The loss .* has a stage before `fit`")
        log = fitted.fit(
            **images, epochs=_ROUNDS, shuffle=False, verbose=0, callbacks=[Clock()]
        ).history
    moved = {id(v): v for v in _moved(fitted)}
    own = {id(v) for v in classifier.trainable_variables}
    return {
        "step_ms": min(log["step_ms"][1:]),
        "peak_bytes": _device.peak_bytes(),
        "extra_parameters": sum(int(np.prod(v.shape)) for k, v in moved.items() if k not in own),
    }


def _images(fitted, feed, dataset):
    """What `fit` is given: a few whole batches as arrays, so that no step waits for its images."""
    if getattr(fitted, "data_free", False):
        return {"steps_per_epoch": _STEPS}
    feed = {**feed, "augment": feed["augment"] if feed["views"] > 1 else None}
    numbers = asks_for_numbers(fitted)
    batches = dataset.sequence("train", drop_remainder=True, sample_index=numbers, **feed)
    chosen = [batches[number % len(batches)] for number in range(_STEPS)]
    x, y = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *chosen)
    return {"x": x, "y": y, "batch_size": len(y) // _STEPS}


def _trained(phase, recipe, run):
    """The phase's classifier as it came out; as it begins, where it diverged."""
    classifier = phase.classifier()
    weights = files.phase_folder(run, recipe.train.seeds[0], phase.name) / files.WEIGHTS
    if weights.exists():
        classifier.load_weights(weights)
    return classifier


def _moved(fitted):
    """What a step of fit trains, parts that only a first stage trains left out."""
    if isinstance(fitted, trainers.Trainer):
        return [v for update in fitted.updates() for v in update.variables]
    return fitted.trainable_variables


if __name__ == "__main__":
    described = schema.Recipe.model_validate(json.load(sys.stdin))
    print(json.dumps(measure(described, sys.argv[1], pathlib.Path(sys.argv[2]))))
