"""Train one phase of one seed, from wherever an earlier try stopped."""

import pathlib
import shutil

import keras
import numpy as np

from kzoo import callbacks
from kzoo.recipes import build, files
from kzoo.recipes._progress import Clock

_EVALUATION_BATCH = 256


def train(phase, recipe, dataset, *, seed, folder, finished, progress) -> keras.Model:
    """The trained classifier of a phase; nothing is done twice.

    Args:
        phase: a `plan.Phase`.
        recipe: the `schema.Recipe`.
        dataset: the `kzoo.data.Dataset`.
        seed: the run's seed.
        folder: where this phase keeps its files.
        finished: the classifiers of earlier phases by name.
        progress: function that makes the Keras callback which shows progress.

    Raises:
        ValueError: where the loss becomes NaN or a file cannot be written.
    """
    weights, metrics = folder / files.WEIGHTS, folder / files.METRICS
    if metrics.exists():
        classifier = phase.classifier()
        classifier.load_weights(weights)
        return classifier
    files.writable_folder(folder)
    keras.utils.set_random_seed(seed + phase.seed_offset)
    fitted, classifier = phase.make(finished)
    _compile(fitted, classifier, phase, recipe, dataset)
    log = _fit(fitted, phase, recipe, dataset, seed, folder, progress)
    files.write_json(folder / files.LOG, log)
    trained = _bare(classifier, phase)
    files.write_whole(weights, trained.save_weights)
    measured = {split: measure(trained, dataset, split) for split in _splits(dataset)}
    files.write_json(metrics, {**measured, "seconds": round(sum(log["seconds"]), 1)})
    _remove_state(folder)
    return trained


def measure(classifier: keras.Model, dataset, split: str) -> dict[str, float]:
    """Accuracy and mean cross-entropy of a classifier on one split."""
    images, labels = dataset.arrays(split)
    probabilities = classifier.predict(images, batch_size=_EVALUATION_BATCH, verbose=0)
    picked = np.take_along_axis(probabilities, labels[:, None], axis=1).astype("float64")
    smallest = np.finfo("float32").tiny
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
        "loss": float(-np.log(np.maximum(picked, smallest)).mean()),
    }


def _bare(classifier, phase):
    """The classifier without optimiser and regularisers, as a later process would load it."""
    bare = phase.classifier()
    bare.set_weights(classifier.get_weights())
    return bare


def _splits(dataset):
    return [split for split, size in dataset.spec.sizes.items() if size and split != "train"]


def _compile(fitted, classifier, phase, recipe, dataset):
    build.add_weight_decay(classifier, recipe.optimizer.weight_decay)
    steps = dataset.steps("train", recipe.data.batch_size)
    fitted.compile(
        optimizer=build.optimizer(recipe.optimizer, epochs=phase.epochs, steps=steps),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def _fit(fitted, phase, recipe, dataset, seed, folder, progress) -> dict[str, list[float]]:
    """Fit from the last good checkpoint; returns the log of all epochs."""
    checkpoint = callbacks.ResumableCheckpoint(folder / files.STATE)
    if not fitted.built:
        fitted.build((None, *dataset.spec.image_shape))
    first_epoch = checkpoint.restore(fitted)
    stop = callbacks.StopOnNaN()
    watching = [stop, Clock(), checkpoint, progress(phase, seed, first_epoch)]
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if recipe.train.tensorboard and on_tensorflow:
        watching.append(keras.callbacks.TensorBoard(folder / files.TENSORBOARD))
    feed = dataset.pipeline if on_tensorflow else dataset.sequence
    if first_epoch < phase.epochs:
        fitted.fit(
            feed(
                "train",
                recipe.data.batch_size,
                shuffle=True,
                augment=recipe.data.augment,
                seed=seed,
                first_epoch=first_epoch,
            ),
            validation_data=_validation(feed, dataset),
            initial_epoch=first_epoch,
            epochs=phase.epochs,
            shuffle=False,
            callbacks=watching,
            verbose=0,
        )
    if stop.message:
        raise ValueError(f"{phase.name}, seed {seed}: {stop.message}")
    return checkpoint.history


def _validation(feed, dataset):
    if dataset.spec.sizes.get("validation"):
        return feed("validation", _EVALUATION_BATCH)
    return None


def _remove_state(folder: pathlib.Path) -> None:
    """Drop the checkpoint of a finished phase."""
    shutil.rmtree(folder / files.STATE)
