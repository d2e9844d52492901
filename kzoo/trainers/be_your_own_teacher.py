"""A network whose deepest classifier teaches classifiers at its earlier stages."""

import keras
import numpy as np
from keras import ops

from kzoo.losses._arguments import check_choice, check_integer, check_number
from kzoo.registry import register
from kzoo.trainers._batch import Batch
from kzoo.trainers._checks import Schedule, check_weight, weight_at
from kzoo.trainers._classifiers import Classifiers
from kzoo.trainers._configured import Configured
from kzoo.trainers._early_exit import run_early
from kzoo.trainers._exits import ENSEMBLE, FEATURE, FINAL, planted
from kzoo.trainers._networks import LOGITS
from kzoo.trainers._self_distillation import hint_term, soft_term
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._terms import reduce_term
from kzoo.trainers._trackers import Trackers


@register(
    "trainer",
    paper="arXiv:1905.08094",
    aliases=("BYOT", "SelfDistillation"),
    tiny={"build": lambda small: BeYourOwnTeacher(small("model"))},
    players=("model",),
)
class BeYourOwnTeacher(Configured, Classifiers):
    """Trains a network with classifiers at its earlier stages, which its own classifier teaches.

    Use it where there is no teacher and a network is to become better at no cost at inference, or
    where easy images should cost less than hard ones (`predict_early`).

    Reference:
        L. Zhang, J. Song, A. Gao, J. Chen, C. Bao, K. Ma, "Be Your Own Teacher: Improve the
        Performance of Convolutional Neural Networks via Self Distillation", ICCV 2019,
        arXiv:1905.08094.

    An exit i reads the map at a tap: `f_i` are its features, `z_i` its logits. With those of the
    network itself, `f` and `z`, soft targets `q = softmax(z / T)`, sg to stop gradients and
    the compiled loss `task`:

        loss = task(y, network) + Σ_i [(1 − soft_weight) · task(y, exit_i)
               + soft_weight · KL(sg[q] ‖ q_i) + hint_weight · Σ_c (f_ic − sg[f_c])²]

    `variant="reference"` is the authors' code: the cross-entropy of q_i under sg[q], whose
    gradient is the same, and `hint_weight · √(Σ (A_i f_i − sg[f])²)` with the sum over batch and
    channels and a trained linear map A_i, which is dropped afterwards.

    An exit is attention (separable convolutions at half the size, enlarged, a sigmoid, times the
    map), separable convolutions that halve and widen the map step by step to the deepest one's size
    and the width of f, global average pooling, which gives f_i, and a `Dense` layer; of a vector a
    `Dense` layer with normalisation makes f_i. It ends with a softmax where the network does. An
    early exit of a network that ends much wider can cost more than it saves; see `kzoo.costs`.

    `student` is the network with nothing attached; `export` writes it. `classifiers` are flat plain
    models by name: the network as `"final"` and for each exit, named after its tap, the network
    up to the tap and the exit. `ensemble` is a plain model of the mean of all probabilities, `best`
    gives the one of `classifiers` that validates best. Logged are `task_loss`, `<exit>_task_loss`,
    `<exit>_soft`, `<exit>_hint`, and `final_accuracy`, `<exit>_accuracy`, `ensemble_accuracy`.

    Args:
        model: a classifier with stages, built or not.
        taps: where exits read it, from input to output; `None` for all stages but the last.
        temperature: T > 0.
        soft_weight: weight of the soft targets, at most 1; a number or a schedule of the step.
        hint_weight: weight of the features, a number or a schedule of the step.
        variant: `"paper"` or `"reference"`.
        hint_tap: where f is read; maps are averaged over space.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the network takes.
        training: whether it runs in training mode.

    Raises:
        ValueError: for taps that the network does not have, that are given twice or out of order,
            or not before the last stage. A network that cannot be cut at the taps trains as well,
            but for what takes exits out of it: `classifiers`, `best`, `ensemble`, `predict_early`.

    Example:

    ```python
    import numpy as np
    import kzoo

    model = kzoo.applications.ResNet(depth=8, filters=4, input_shape=(16, 16, 1), classes=3)
    trainer = kzoo.trainers.BeYourOwnTeacher(model)
    trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.random.rand(8, 16, 16, 1).astype("float32"), np.arange(8) % 3
    trainer.fit(x, y, validation_data=(x, y), verbose=0)
    student = trainer.student  # the network, nothing attached
    probabilities, exits = trainer.predict_early(x, threshold=0.5)
    print(dict(zip(*np.unique(exits, return_counts=True))))  # how many left where
    ```

    Neither the paper's formula nor the authors' code has the factor T² of `SoftTargets`. The paper
    names no weights: the defaults are the code's, where 0.03 multiplies the norm, and so are the
    exits (the paper's have no attention), but for a second normalisation in the attention. Not
    repeated are its slips: no hint for the exit before the last stage (it says: the shallowest),
    training outputs summed without one and divided by the number of all, A_i and a second optimiser
    made in the first batch. `sample_weight` weighs the squares under the norm.
    """

    configured = (
        *("model", "taps", "temperature"),
        *("soft_weight", "hint_weight", "variant", "hint_tap"),
    )

    def __init__(
        self,
        model,
        taps=None,
        temperature=3.0,
        soft_weight=0.3,
        hint_weight=0.03,
        variant="paper",
        hint_tap="pooled",
        **kwargs,
    ):
        if not isinstance(model, keras.Model):
            raise ValueError(f"`model` must be a keras.Model. Received: model={model!r}")
        check_number("temperature", temperature)
        if not isinstance(soft_weight, Schedule):
            check_number("soft_weight", soft_weight, 0.0, 1.0, inclusive=True)
        check_weight("hint_weight", hint_weight)
        check_choice("variant", variant, ("paper", "reference"))
        kwargs.setdefault("dtype", model.dtype_policy)
        super().__init__((), **kwargs)
        self.model, self.taps, self.hint_tap = model, taps, hint_tap
        self.temperature, self.variant = temperature, variant
        self.soft_weight, self.hint_weight = soft_weight, hint_weight
        if model.built:
            self._prepare()

    def build(self, input_shape=None):
        """Build the network, then the exits from the shapes of its maps."""
        if not self.model.built:
            self.model.build(Batch.of(input_shape).inputs)
        self._prepare()

    def _prepare(self):
        if self.built:
            return
        adapt = self.variant == "reference" and self.hint_weight != 0
        # Hidden, so that Keras does not track the network a second time.
        self._hidden.exits = made = planted(self.model, self.taps, self.hint_tap, adapt)
        self.exits, self.adapters = made.exits, made.adapters
        self.measured = tuple(f"{name}_accuracy" for name in (FINAL, *made.names, ENSEMBLE))
        self._trackers = Trackers(self.measured)  # without taps the names are known only here
        self.built = True

    def call(self, inputs, training=None):
        """The network's output."""
        return self.model(Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The network's."""
        return self.model.compute_output_shape(Batch.of(input_shape).inputs)

    def compute_terms(self, x, y, sample_weight, training):
        """The network's task loss, and of each exit three terms."""
        exits, step = self._hidden.exits, self.optimizer.iterations
        found = exits.read(Batch.of(x).inputs, training)
        self.log_accuracies(exits.scores(found), x, y)
        deepest = found.pop(FINAL)
        terms = {"task_loss": self.task_loss(y, deepest[OUTPUTS], sample_weight)}
        soft, hint = (weight_at(weight, step) for weight in (self.soft_weight, self.hint_weight))
        for index, (name, one) in enumerate(found.items()):
            if self.soft_weight != 1 and self._compile_loss is not None:
                task = self.task_loss(y, one[OUTPUTS], sample_weight)
                terms[f"{name}_task_loss"] = reduce_term(task, None) * (1 - soft)
            if self.soft_weight != 0:
                value = soft_term(self.variant, deepest[LOGITS], one[LOGITS], self.temperature)
                terms[f"{name}_soft"] = reduce_term(value, sample_weight) * soft
            if self.hint_weight != 0:
                own = self.adapters[index](one[FEATURE]) if self.adapters else one[FEATURE]
                value = hint_term(self.variant, deepest[FEATURE], own, sample_weight)
                terms[f"{name}_hint"] = reduce_term(value, sample_weight) * hint
        return deepest[OUTPUTS], terms

    def diagnose(self, logs, ignore=()):
        """Warn about terms that stayed 0, though not where a schedule may want that."""
        soft, hint = (isinstance(w, Schedule) for w in (self.soft_weight, self.hint_weight))
        ends = ("_task_loss", "_soft") * soft + ("_hint",) * hint
        quiet = [name for name in self.term_names if name.endswith(ends)]
        super().diagnose(logs, (*ignore, *quiet))

    def scores(self, inputs):
        """The outputs of the network and of each exit, and the mean of their probabilities."""
        exits = self._hidden.exits
        return exits.scores(exits.read(Batch.of(inputs).inputs, False))

    @property
    def student(self):
        """The network."""
        return self.model

    @property
    def classifiers(self):
        """The network and its exits by name; a flat model is made when it is asked for."""
        if not self.built:
            raise ValueError("There are no exits before the network is built. Call `fit` first.")
        return self._hidden.exits.models

    @property
    def ensemble(self):
        """A flat plain model: the mean of the probabilities of the network and all exits."""
        return self._hidden.exits.ensemble

    def predict_early(self, x, threshold, batch_size=32):
        """Predict with as little of the network as each image needs.

        An image leaves at the first exit whose largest probability reaches the threshold, and what
        lies behind runs on those that are left. So it costs the multiply-adds of the network up to
        its exit with that exit, `kzoo.costs.multiply_adds(trainer.classifiers[name])`, and of
        the exits that it passed; the rest is saved.

        Args:
            x: array of images.
            threshold: 0 lets all leave at the first exit, more than 1 none before the end.
            batch_size: images at a time.

        Returns:
            `(probabilities, names)`: arrays; a name is that of the exit by which an image left.
        """
        check_number("threshold", threshold, inclusive=True)
        check_integer("batch_size", batch_size)
        exits, x = self._hidden.exits, ops.convert_to_numpy(x)
        found = run_early(exits.segments, x, threshold, batch_size, exits.classes)
        return found[0], np.array([*exits.names, FINAL])[found[1]]

    def export(self, path, exit=None, **kwargs):
        """Export the network alone, or an exit.

        Args:
            path: where to.
            exit: a name of `classifiers`, or `"ensemble"`; `None` for the network.
            **kwargs: those of `kzoo.export.export_model`, for example `format`.
        """
        from kzoo.export import export_model

        if exit is not None:
            check_choice("exit", exit, (*self.classifiers, ENSEMBLE))
        model = self.ensemble if exit == ENSEMBLE else self.classifiers[exit or FINAL]
        return export_model(model, path, **kwargs)
