"""Train one phase of one seed, from wherever an earlier try stopped."""

import functools
import pathlib
import shutil

import keras
import numpy as np

from kzoo.recipes import _trainers, build, files
from kzoo.recipes._fit import SPLITS, Diverged, fit
from kzoo.recipes._log_probabilities import log_probabilities
from kzoo.recipes._omitted import corrected

_STAGE_SEED_OFFSET = 2_000_003
_TIMES = ("seconds", "step_ms", "loss", "learning_rate")


def train(phase, recipe, dataset, *, seed, folder, finished, progress) -> keras.Model | None:
    """The trained classifier of a phase; nothing is done twice.

    Of methods side by side, one whose loss becomes NaN gives `None`: that is recorded, and the
    others go on.

    Args:
        phase: a `plan.Phase`.
        recipe: the `schema.Recipe`.
        dataset: the `kzoo.data.Dataset`.
        seed: the run's seed.
        folder: where this phase keeps its files.
        finished: the classifiers of earlier phases by name.
        progress: function of `(title, seed, steps, epochs, first_epoch)` that makes the
            Keras callback which shows progress.

    Raises:
        ValueError: where the loss of a phase that others need becomes NaN, or a file cannot be
            written.
    """
    metrics = folder / files.METRICS
    if metrics.exists():
        return _finished(phase, folder)
    files.writable_folder(folder)
    keras.utils.set_random_seed(seed + phase.seed_offset)
    seen = phase.sees(dataset)
    clock = phase.clock(recipe, seen)
    fitted, classifier = phase.make(finished, clock)
    build.add_weight_decay(_decayed(fitted, classifier), recipe.optimizer.weight_decay)
    method = phase.method
    own = build.callbacks(method.callbacks, folder, recipe.optimizer.learning_rate)
    early = {}
    try:
        early = _pretrain(fitted, phase, recipe, seen, seed, folder, progress)
        make = functools.partial(build.optimizer, epochs=phase.fit_epochs, steps=clock.steps)
        fitted.compile(
            optimizer=_trainers.optimizer(fitted, make, method, recipe),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        log = _fit(fitted, phase, recipe, seen, seed, folder, progress, own, clock.steps)
    except Diverged as error:
        if phase.losses is None:
            raise
        in_fit = early or not phase.pretrain_epochs
        files.write_json(folder / files.LOG, error.history if in_fit else {})
        seconds = _seconds(early, error.history)
        files.write_json(metrics, {"diverged": str(error), "seconds": seconds})
        _remove_state(folder)
        return None
    files.write_json(folder / files.LOG, log)
    trained = _bare(classifier, phase)
    files.write_whole(folder / files.WEIGHTS, trained.save_weights)
    measured = _measured(trained, fitted, own, method, dataset, seen)
    if phase.omit_classes:
        measured["omitted"] = corrected(trained, dataset, phase.omit_classes)
    if early:
        measured["first_stage"] = _last(early)
    last = _last(log)
    files.write_json(metrics, {**measured, "seconds": _seconds(early, log), "last_epoch": last})
    _remove_state(folder)
    return trained


def measure(classifier: keras.Model, dataset, split: str) -> dict[str, float]:
    """Accuracy and mean cross-entropy of a classifier on one split."""
    images, labels = dataset.arrays(split)
    found = log_probabilities(classifier, images)
    return {
        "accuracy": float(np.mean(found.argmax(axis=1) == labels)),
        "loss": float(-np.take_along_axis(found, labels[:, None], axis=1).mean()),
    }


def _measured(trained, fitted, callbacks, method, dataset, seen):
    """Accuracy of what came out, and of each part where that is several classifiers.

    Parts are measured on the training images too, with the labels that were seen.
    """
    splits = [split for split in SPLITS if dataset.spec.sizes[split]]
    on = {"train": seen, **dict.fromkeys(splits, dataset)}
    parts = {
        name: {split: measure(model, where, split) for split, where in on.items()}
        for name, model in _trainers.outcomes(fitted, callbacks).items()
    }
    if method.shows is None:
        measured = {split: measure(trained, dataset, split) for split in splits}
    elif method.shows in parts:
        measured = {split: parts[method.shows][split] for split in splits}
    else:
        raise ValueError(
            f"shows of {method.name!r}: nothing called {method.shows!r} came out. Received: "
            f"{', '.join(parts) or 'one classifier'}"
        )
    return {**measured, "parts": parts} if parts else measured


def _decayed(fitted, classifier):
    """What weight decay acts on: all that classifies, not what only serves the training."""
    moved = {id(v) for v in fitted.trainable_variables}
    kept = any(id(v) not in moved for v in classifier.trainable_variables)
    return fitted if kept or hasattr(type(fitted), "classifiers") else classifier


def _finished(phase, folder):
    """What an earlier try trained."""
    if "diverged" in files.read_json(folder / files.METRICS):
        return None
    classifier = phase.classifier()
    classifier.load_weights(folder / files.WEIGHTS)
    return classifier


def _bare(classifier, phase):
    """The classifier without optimiser and regularisers, as a later process would load it."""
    bare = phase.classifier()
    bare.set_weights(classifier.get_weights())
    return bare


def _pretrain(fitted, phase, recipe, dataset, seed, folder, progress) -> dict[str, list[float]]:
    """The stage before fit, where the method has one; returns its log."""
    epochs = phase.pretrain_epochs
    if not epochs:
        return {}
    steps = phase.clock(recipe, dataset).steps
    stage = fitted.pretraining(build.optimizer(recipe.optimizer, epochs=epochs, steps=steps))

    def watch(first_epoch):
        return [], [progress(f"{phase.name} (first stage)", seed, steps, epochs, first_epoch)]

    # Batches of its own, so that the stage does not see those of the fit.
    own, folder = seed + _STAGE_SEED_OFFSET, folder / files.STAGE
    return fit(stage, epochs, phase.feed(recipe), dataset, own, folder, watch, validate=False)


def _fit(fitted, phase, recipe, dataset, seed, folder, progress, own, steps):
    """Fit from the last good checkpoint; returns the log of all epochs."""
    epochs = phase.fit_epochs

    def watch(first_epoch):
        watching = [progress(phase.name, seed, steps, epochs, first_epoch)]
        if recipe.train.tensorboard and keras.backend.backend() == "tensorflow":
            watching.append(keras.callbacks.TensorBoard(folder / files.TENSORBOARD))
        return own, watching

    return fit(fitted, epochs, phase.feed(recipe), dataset, seed, folder / files.STATE, watch)


def _last(log):
    """Terms and diagnostics of the last epoch."""
    return {name: values[-1] for name, values in log.items() if name not in _TIMES}


def _seconds(*logs):
    return round(sum(sum(log.get("seconds", [])) for log in logs), 1)


def _remove_state(folder: pathlib.Path) -> None:
    """Drop the checkpoints of a finished phase."""
    for state in (folder / files.STATE, folder / files.STAGE):
        if state.exists():
            shutil.rmtree(state)
