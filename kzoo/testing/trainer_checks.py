"""The battery of trainers, first part: what a step moves, and what it must not touch."""

import gc

import keras
import numpy as np
from keras import ops

from kzoo.registry import Entry
from kzoo.testing.battery import Skip, check, expect
from kzoo.testing.small_models import (
    MOMENTUM,
    ModeProbe,
    Subject,
    batch,
    subject,
    trainable_flags,
)
from kzoo.testing.subjects import (
    differing,
    dtype_policy,
    expect_close,
    expect_finite,
    same,
    sub_layers,
    values,
)


@check("trainer")
def right_variables_move(entry: Entry) -> None:
    """Two steps move every trainable variable of the trainer and of the trained models."""
    known = {id(layer) for layer in _living_layers()}
    case = subject(entry)
    case.fit()
    theirs = [w for model in case.trained for w in model.trainable_weights]
    tracked = {id(v) for v in case.trainer.trainable_variables}
    lost = [w.path for w in theirs if id(w) not in tracked]
    expect(not lost, f"Not among the trainer's trainable variables: {lost}.")
    own = [model for model in case.frozen for model in (model, *sub_layers(model))]
    known |= {id(layer) for layer in own}
    stray = {
        w.path
        for layer in _living_layers()
        if id(layer) not in known
        for w in layer.trainable_weights
        if id(w) not in tracked and not any(w is v for m in case.frozen for v in m.variables)
    }
    expect(not stray, f"The trainer made weights that it does not train: {sorted(stray)}.")
    variables = case.trainer.trainable_variables
    before, names = values(variables), [v.path for v in variables]
    case.fit(epochs=2)
    still = set(names) - set(differing(before, values(variables), names))
    expect(not still, f"Two steps do not move {sorted(still)}.")


@check("trainer", backend="tensorflow")
def updates_move_their_own(entry: Entry) -> None:
    """Each update moves what it names and nothing else; together the players own everything."""
    case = subject(entry)
    case.fit()
    trainer, seen, run = case.trainer, [], case.trainer.run_update
    owned = [id(v) for group in trainer.players().values() for v in group]
    expect(len(owned) == len(set(owned)), "Two players own the same variable.")
    own = {id(v): v.path for v in trainer.trainable_variables}
    expect(set(owned) == set(own), "The players do not own all variables that are trained.")

    def watched(update, *data):
        seen.append((update, values(trainer.trainable_variables)))
        return run(update, *data)

    trainer.run_update = watched
    case.fit()
    ends = [*(start for _, start in seen[1:]), values(trainer.trainable_variables)]
    for (update, start), end in zip(seen, ends, strict=True):
        pairs = zip(own, start, end, strict=True)
        moved = {key for key, old, new in pairs if not np.array_equal(old, new)}
        stray = sorted(own[key] for key in moved - {id(v) for v in update.variables})
        expect(not stray, f"The update {update.name!r} moves {stray} too.")
        expect(moved, f"The update {update.name!r} moves nothing.")


@check("trainer")
def frozen_untouched(entry: Entry) -> None:
    """Teachers keep weights, statistics and `trainable`, and are no part of the trainer."""
    case = _with_teacher(entry)
    before = values([v for model in case.frozen for v in model.variables])
    names = [v.path for model in case.frozen for v in model.variables]
    case.fit(epochs=2)
    case.trainer.evaluate(*batch(), verbose=0)
    after = values([v for model in case.frozen for v in model.variables])
    changed = differing(before, after, names)
    expect(not changed, f"The teacher's variables change: {changed}.")
    expect(trainable_flags(case.frozen) == case.flags, "The teacher's `trainable` is changed.")
    trained = {id(v) for v in case.trainer.trainable_variables}
    caught = [v.path for m in case.frozen for v in m.variables if id(v) in trained]
    expect(not caught, f"Teacher variables among the trainable ones: {caught}.")
    case.trainer.trainable = False
    case.trainer.trainable = True
    expect(trainable_flags(case.frozen) == case.flags, "`trainer.trainable` reaches the teacher.")


@check("trainer")
def teacher_in_inference_mode(entry: Entry) -> None:
    """Training calls the teacher, and only with `training=False`."""
    case = _with_teacher(entry)
    probes = [one for model in case.frozen for one in model.layers if isinstance(one, ModeProbe)]
    if not probes:
        raise Skip("the frozen model is a part of the result and does not teach")
    case.fit()
    expect(ModeProbe.modes, "The teacher is never called.")
    expect(not any(ModeProbe.modes), "The teacher is called in training mode.")


@check("trainer")
def teacher_matters(entry: Entry) -> None:
    """Another teacher gives other terms: the student is not compared with itself."""
    first = _with_teacher(entry).fit()
    second = _with_teacher(entry, shake_teacher=1.0).fit()
    expect(
        abs(first["loss"][0] - second["loss"][0]) > 1e-6,
        "The loss does not depend on the teacher.",
    )


@check("trainer")
def statistics_once(entry: Entry) -> None:
    """A step runs each trained model once: its moving statistics are updated once."""
    passes = entry.facts.get("passes", 1)
    ends = []
    for start in (0.0, 1.0):
        case = subject(entry)
        moving = [
            v
            for model in case.trained
            for v in model.non_trainable_variables
            if v.name.startswith("moving_")
        ]
        for variable in moving:
            variable.assign(np.full(variable.shape, start, "float32"))
        case.fit()
        ends.append(values(moving))
    for variable, low, high in zip(moving, *ends, strict=True):
        kept = float(np.mean(high - low))
        expect(
            abs(kept - MOMENTUM**passes) < 1e-3,
            f"{variable.path} keeps {kept:.4f} of its value in a step, not {MOMENTUM**passes:.4f}: "
            "the model does not run once a step in training mode.",
        )


@check("trainer")
def evaluate_changes_nothing(entry: Entry) -> None:
    """`evaluate` and `predict` change no variable and do not run the teacher."""
    case = subject(entry)
    case.fit()
    variables = [v for m in (case.trainer, *case.trained, *case.frozen) for v in m.variables]
    before, names = values(variables), [v.path for v in variables]
    ModeProbe.modes.clear()
    logs = case.trainer.evaluate(*batch(), verbose=0, return_dict=True)
    case.trainer.predict(batch()[0], verbose=0)
    expect_finite(list(logs.values()), "Logs of evaluate")
    changed = differing(before, values(variables), names)
    expect(not changed, f"Evaluation changes {changed}.")
    expect(not ModeProbe.modes, "Evaluation runs the teacher.")


@check("trainer")
def sample_weights(entry: Entry) -> None:
    """The label of a sample of weight 0 has no effect."""
    if not entry.facts.get("data", True):
        raise Skip("the method takes no data")
    weights = np.tile([1.0, 1.0, 0.0, 0.0], 2).astype("float32")  # the same in both halves
    _, y = batch()
    results = []
    for labels in (y, np.where(weights > 0, y, (y + 1) % 3)):
        case = subject(entry)
        case.fit(y=labels, sample_weight=weights)
        results.append(values(case.trainer.trainable_variables))
    expect_close(results[1], results[0], "Weights after other labels of weight 0", 1e-6)


@check("trainer")
def regularizers(entry: Entry) -> None:
    """The regularisers of the trained models are a part of the loss."""
    plain = subject(entry).fit()["loss"][0]
    case = subject(entry, regularizer=0.1)
    penalty = sum(float(ops.convert_to_numpy(v)) for m in case.trained for v in m.losses)
    found = case.fit()["loss"][0] - plain
    expect_close(np.float64(found), np.float64(penalty), "What regularisers add to the loss", 1e-3)


@check("trainer")
def mixed_precision(entry: Entry) -> None:
    """Under mixed_float16 a few steps leave finite weights that have moved."""
    with dtype_policy("mixed_float16"):
        case = subject(entry)
        case.fit()
        before = values(case.trainer.trainable_variables)
        logs = case.fit(epochs=8)
        expect_finite(list(logs.values()), "Logs under mixed_float16")
        after = values(case.trainer.trainable_variables)
    expect_finite(after, "Weights under mixed_float16")
    expect(not same(before, after), "No weight moves under mixed_float16.")


def _with_teacher(entry: Entry, **options) -> Subject:
    case = subject(entry, **options)
    if not case.frozen:
        raise Skip("the method has no teacher")
    return case


def _living_layers() -> list[keras.Layer]:
    gc.collect()
    return [thing for thing in gc.get_objects() if issubclass(type(thing), keras.Layer)]
