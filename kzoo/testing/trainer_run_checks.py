"""The battery of trainers, second part: loops, logs, saving and what comes out."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kzoo.registry import Entry
from kzoo.testing.battery import check, expect
from kzoo.testing.small_models import batch, subject
from kzoo.testing.subjects import expect_close, numpy, sub_layers, values

_GRAPH_LOGS: dict[Any, dict[str, list[float]]] = {}
_RELOAD = """
import sys
import keras
import numpy as np

model = keras.saving.load_model(sys.argv[1])
assert not any(name.split(".")[0] == "kzoo" for name in sys.modules)
np.save(sys.argv[3], keras.ops.convert_to_numpy(model(np.load(sys.argv[2]))))
"""


@check("trainer")
def eager_equals_graph(entry: Entry) -> None:
    """Four steps give the same logs eagerly and in graph mode; the last tells of the weights."""
    eager, graph = subject(entry).fit(epochs=4), _graph_logs(entry)
    expect(eager.keys() == graph.keys(), f"Logs are {list(eager)} and {list(graph)}.")
    for name, found in eager.items():
        expect_close(np.array(graph[name][:4]), np.array(found), f"{name} in graph mode", 1e-4)


@check("trainer")
def loss_falls(entry: Entry) -> None:
    """Thirty steps on eight images lower the loss."""
    losses = _graph_logs(entry)["loss"]
    fall = losses[0] - losses[-1]
    # A loss with an entropy in it may be negative.
    expect(fall > 0.1 * abs(losses[0]), f"The loss goes from {losses[0]:.4g} to {losses[-1]:.4g}.")


@check("trainer")
def terms_sum_to_loss(entry: Entry) -> None:
    """The logged terms sum to the logged loss, and none is empty."""
    case = subject(entry, regularizer=0.01)
    logs = {name: found[0] for name, found in case.fit().items()}
    terms = {name: logs[name] for name in case.trainer.term_names if name in logs}
    expect(terms, f"No term is logged; the logs are {list(logs)}.")
    total = sum(terms.values())
    expect(
        abs(total - logs["loss"]) <= 1e-4 * max(1.0, abs(total)),
        f"The terms {terms} sum to {total:.6g}; the loss is {logs['loss']:.6g}.",
    )
    empty = [name for name, value in terms.items() if value == 0.0]
    expect(not empty, f"Terms that are exactly 0: {empty}.")


@check("trainer")
def save_and_resume(entry: Entry) -> None:
    """A trainer that was saved and loaded goes on exactly as one that was not."""
    case = subject(entry)
    case.fit(epochs=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trainer.keras"
        case.trainer.save(path)
        loaded = keras.saving.load_model(path)
    x = batch()[0]
    expect_close(loaded(x), case.trainer(x), "Output after loading", 1e-6)
    expect(loaded.compiled, "The loaded trainer is not compiled.")
    for trainer in (case.trainer, loaded):
        dataclasses.replace(case, trainer=trainer).fit(epochs=2)
    first, second = (values(t.trainable_variables) for t in (case.trainer, loaded))
    expect_close(second, first, "Weights after resuming", 1e-5)
    expect_close(loaded(x), case.trainer(x), "Output after resuming", 1e-5)


@check("trainer")
def result_without_kzoo(entry: Entry) -> None:
    """What comes out is a plain Keras model that loads where kzoo is not imported."""
    case, x = subject(entry), batch()[0]
    case.fit()
    result = case.result
    expect(
        type(result).__module__.startswith("keras."),
        f"The result is a {type(result)}, not a plain Keras model.",
    )
    with tempfile.TemporaryDirectory() as folder:
        model, given, taken = (Path(folder) / name for name in ("m.keras", "x.npy", "y.npy"))
        result.save(model)
        np.save(given, x)
        command = [sys.executable, "-c", _RELOAD, str(model), str(given), str(taken)]
        environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
        process = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        expect(process.returncode == 0, f"It does not load: {process.stderr[-400:]}")
        expect_close(np.load(taken), result(x), "Output in a process without kzoo")


@check("trainer", backend="tensorflow")
def saved_model(entry: Entry) -> None:
    """`export` writes the result alone, and the SavedModel gives its outputs to 1e-5."""
    import tensorflow as tf

    case, x = subject(entry), batch()[0]
    case.fit()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "saved_model")
        case.trainer.export(path)
        loaded = tf.saved_model.load(path)
        expect_close(loaded.serve(x), case.result(x), "Output of the SavedModel")
        count = len(loaded.variables)
    expected = len(case.result.variables)
    expect(count == expected, f"The SavedModel holds {count} variables, the result {expected}.")


@check("trainer")
def explicit_names(entry: Entry) -> None:
    """Two trainers in one process have the same names of weights and of layers with weights."""
    names = []
    for _ in range(2):
        case = subject(entry)
        case.fit()
        found = [layer.name for layer in sub_layers(case.trainer) if layer.weights]
        found += [v.path for v in case.trainer.trainable_variables]
        names.append([name.replace(case.trainer.name, "trainer") for name in found])
    expect(len(names[0]) == len(names[1]), "Two trainers have different layers.")
    changed = [f"{a} / {b}" for a, b in zip(*names, strict=True) if a != b]
    expect(not changed, f"Automatic names, which differ between two trainers: {changed}.")


@check("trainer")
def predicts_as_result(entry: Entry) -> None:
    """The trainer predicts what its result predicts."""
    case, x = subject(entry), batch()[0]
    case.fit()
    predicted = numpy(case.trainer(x))
    expect_close(predicted, case.result(x), "The trainer's output against its result's", 1e-6)


def _graph_logs(entry: Entry) -> dict[str, list[float]]:
    """Logs of thirty steps in graph mode, trained once for the checks that read them."""
    build = entry.tiny.get("build")
    if build not in _GRAPH_LOGS:
        _GRAPH_LOGS[build] = subject(entry, eager=False).fit(epochs=30)
    return _GRAPH_LOGS[build]
