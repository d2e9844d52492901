"""What temperatures do to the logits of a finished run: `kzoo report RUN --temperature`."""

import pathlib

import numpy as np

from kzoo.losses import temperature_curves
from kzoo.recipes import build, files, plan, plots, schema
from kzoo.recipes._log_probabilities import log_probabilities

PLOT = "temperature.png"
TEMPERATURES = np.geomspace(0.5, 500.0, 31)
_IMAGES = 1000
_SHOWN = (1.0, 2.0, 4.0, 8.0, 20.0)


def study(run: pathlib.Path) -> tuple[dict, pathlib.Path]:
    """Curves of a run's teacher and exported student, and the plot of them.

    Looks at no more than 1,000 images of the validation split, or of the test split where there is
    no validation; nothing is chosen by it.

    Returns:
        `(curves, file of the plot)`; see `kzoo.losses.temperature_curves`.

    Raises:
        ValueError: where the run is not finished or had no teacher.
    """
    results = files.read_json(run / files.RESULTS)
    recipe = schema.Recipe.model_validate(results["recipe"])
    if recipe.teacher is None:
        raise ValueError(f"{run} had no teacher. Give a run of a recipe with [teacher].")
    dataset = build.dataset(recipe.data)
    phases = {phase.name: phase for phase in plan.phases(recipe, dataset.spec)}
    split = "validation" if dataset.spec.sizes["validation"] else "test"
    images = dataset.arrays(split)[0][:_IMAGES]
    student = results.get("exported", list(results["rows"])[-1])
    seed = results["exported_seed"]
    # Of methods side by side the first seed's teacher taught all.
    taught_by = recipe.train.seeds[0] if phases["teacher"].shared else seed
    rows = (("teacher", taught_by), (student, seed))
    of_teacher, of_student = (_logits(phases[name], run, seed, images) for name, seed in rows)
    curves = temperature_curves(of_teacher, TEMPERATURES, of_student)
    path = run / files.PLOTS / PLOT
    with plots.figure(path, columns=3) as axes:
        _draw(axes, curves, dataset.spec.class_names)
    return curves, path


def table(curves: dict) -> list[list[str]]:
    """A few temperatures as text, the header first."""
    lines = [["temperature", "largest probability", "entropy (nats)", "error of approximation"]]
    for shown in _SHOWN:
        i = int(np.argmin(np.abs(np.log(curves["temperatures"] / shown))))
        lines.append(
            [
                f"{curves['temperatures'][i]:.2g}",
                f"{curves['probabilities'][i].max(axis=-1).mean():.3f}",
                f"{curves['entropy'][i].mean():.3f}",
                f"{curves['gradient_error'][i]:.1%}",
            ]
        )
    return lines


def _logits(phase, run, seed, images):
    model = phase.classifier()
    weights = files.phase_folder(run, seed, phase.name) / files.WEIGHTS
    if not weights.exists():
        raise ValueError(f"{weights} is missing. The study needs the run's folder, not its record.")
    model.load_weights(weights)
    return log_probabilities(model, images)


def _draw(axes, curves, class_names):
    temperatures = curves["temperatures"]
    # The image of which the teacher is least sure shows most.
    image = int(np.argmax(curves["entropy"][int(np.argmin(np.abs(temperatures - 1.0)))]))
    for number, name in enumerate(class_names):
        axes[0].plot(temperatures, curves["probabilities"][:, image, number], label=name)
    axes[0].set(xscale="log", xlabel="temperature", ylabel="teacher's probability, one image")
    axes[0].legend(fontsize=6)
    mean, spread = curves["entropy"].mean(axis=1), curves["entropy"].std(axis=1)
    axes[1].plot(temperatures, mean)
    axes[1].fill_between(temperatures, mean - spread, mean + spread, alpha=0.2)
    axes[1].axhline(np.log(len(class_names)), linestyle="--", color="gray", label="uniform")
    axes[1].set(xscale="log", xlabel="temperature", ylabel="teacher's entropy (nats)")
    axes[1].legend()
    error = curves["gradient_error"]
    axes[2].plot(temperatures, error, label="measured")
    slope = error[-1] * temperatures[-1] / temperatures
    axes[2].plot(temperatures, slope, linestyle="--", color="gray", label="slope -1")
    axes[2].set(
        xscale="log",
        yscale="log",
        xlabel="temperature",
        ylabel="relative error of (z_s - z_t) / (N T²)",
    )
    axes[2].legend()
