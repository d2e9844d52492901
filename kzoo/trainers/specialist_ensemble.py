"""A generalist and specialists for the classes that it confuses."""

from kzoo.data._class_groups import class_groups
from kzoo.registry import register
from kzoo.trainers._batch import Batch
from kzoo.trainers._combination import inference_model, steps_towards_q
from kzoo.trainers._configured import Configured
from kzoo.trainers._labels import class_of, labels_of
from kzoo.trainers._networks import gives_probabilities
from kzoo.trainers._specialist_block import blocks_of, labels_given, warn_of_share
from kzoo.trainers._specialists import (
    check_counts,
    check_generalist,
    check_groups,
    check_specialists,
    copies,
)
from kzoo.trainers._terms import batch_size, reduce_term
from kzoo.trainers.trainer import Trainer
from kzoo.trainers.update import Update

GENERALIST = "generalist_accuracy"


@register(
    "trainer",
    paper="arXiv:1503.02531",
    aliases=("Specialists",),
    tiny={
        "build": lambda small: SpecialistEnsemble(
            small("generalist"), [(0, 1), (1, 2)], iterations=5
        ),
        "made": lambda trainer: trainer.specialists,
    },
    players=("specialist1", "specialist2"),
)
class SpecialistEnsemble(Configured, Trainer):
    """Specialists for groups of classes that a trained generalist confuses, and all as one.

    Use it where there are many classes and some are hard to tell apart: a specialist spends its
    capacity on one group and half of its images on it. Specialists train independently and
    quickly, from the generalist's weights. `Distiller` makes one small model of the whole.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
        NIPS Deep Learning Workshop 2014, arXiv:1503.02531, section 5.

    The specialist of a group has a softmax over its classes and one dustbin class for all others.
    It starts as a copy of the generalist; the dustbin's weights are the mean of those of the other
    classes, its bias raised to stand for their number. All train side by side, each with an
    optimiser of its own, on their own blocks of the batch (`kzoo.data.SpecialistBlocks`), half of
    each block images of the group:

        L = Σ_m task(bin_m(y), p_m) over block m + regularization

    A prediction is the q that agrees best with the generalist's p_g and those of the specialists
    that are active for the image, each compared with q summed over its dustbin's classes:

        q = argmin_q KL(p_g ‖ q) + Σ_{m active} KL(p_m ‖ q)

    Before, the dustbin's logit is raised by log(n_others / n_group), numbers of training images:
    in the blocks both are as frequent, so by Bayes' rule this turns p_m to natural
    frequencies. q has a closed form where one specialist is active at a time; else expectation
    maximisation lowers the sum at each of `iterations` steps.

    Terms are logged as `<name>_task_loss`, for `specialist1`, `specialist2`, ..., beside
    `<name>_accuracy` among its own classes, dustbin included, and `<name>_share`, the part of its
    images that are of its group. `fit` does not run the generalist, so `evaluate` and validation
    alone show compiled metrics, q's as their loss is, with `generalist_accuracy` beside them
    and each `<name>_accuracy` at natural frequencies. `ensemble` is all as one plain Keras model.

    Args:
        generalist: a trained functional or `Sequential` classifier with one input. It is never
            changed.
        groups: the classes of each specialist, two or more each, as `confusable_classes` finds
            them. A class may be in several groups, or in none.
        specialists: a model for each group, with an output for each class of the group in its
            order and a last one for all others, that ends with softmax or logits as the
            generalist does. `None`: copies of the generalist, which must end with a `Dense` layer.
        class_counts: training images of each class, `np.bincount(labels)`. `None`: all alike.
        active: `"top"`: the specialists whose group holds one of the generalist's `top` classes;
            `"all"`: all of them.
        top: how many classes of the generalist count.
        iterations: steps towards q. `None`: 1 where no image has two active specialists, which is
            exact, else 50. Where many disagree at once more are needed: try twice as many and see
            whether predictions change.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the generalist takes.
        training: ignored: the combined prediction is one of inference mode.

    Raises:
        ValueError: for a generalist without a graph, groups with a class that there is not or of
            all classes, and specialists that do not fit.

    Example:

    ```python
    import keras
    import kzoo

    digits = kzoo.data.load("digits")
    x, y = digits.arrays("train")
    generalist = keras.Sequential(
        [keras.Input(x.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    )
    generalist.compile("adam", "sparse_categorical_crossentropy")
    generalist.fit(x, y, epochs=2, verbose=0)

    predicted = generalist.predict(digits.arrays("validation")[0], verbose=0)
    groups = kzoo.trainers.confusable_classes(predicted, num_groups=4, temperature=5.0)
    ensemble = kzoo.trainers.SpecialistEnsemble(generalist, groups)
    ensemble.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    batch_size = 16 * len(groups)
    sampler = kzoo.data.SpecialistBlocks(groups, batch_size)
    ensemble.fit(digits.sequence("train", batch_size, sampler=sampler), verbose=0)

    student = keras.models.clone_model(generalist)
    teacher = ensemble.ensemble  # a plain Keras model
    distiller = kzoo.trainers.Distiller(student, teacher, kzoo.losses.SoftTargets())
    ```

    Differences from the paper: it descends the gradient of q's logits for each image; here a fixed
    number of steps makes q, so that the whole is one plain model that can be exported. It tells
    the dustbin's correction in words; here it is derived for blocks of two halves.
    """

    copies_optimizer = True
    configured = ("generalist", "groups", "specialists", "class_counts", "active", "top")
    configured += ("iterations",)

    def __init__(
        self,
        generalist,
        groups,
        specialists=None,
        class_counts=None,
        active="top",
        top=1,
        iterations=None,
        **kwargs,
    ):
        classes, groups = check_generalist(generalist), class_groups(groups)
        check_groups(groups, classes)
        iterations = steps_towards_q(iterations, groups, classes, active, top)
        kwargs.setdefault("dtype", generalist.dtype_policy)
        super().__init__(**kwargs)
        self.groups, self.active, self.top = groups, active, top
        self.class_counts = check_counts(class_counts, groups, classes)
        self.iterations = iterations
        self._hidden.generalist = generalist
        self.freeze(generalist)
        self._names = tuple(f"specialist{number}" for number in range(1, len(groups) + 1))
        self.measured = (*(f"{name}_accuracy" for name in self._names), GENERALIST)
        if specialists is None:
            specialists = copies(generalist, groups, self.class_counts, self._names)
        self.specialists = check_specialists(specialists, generalist, groups)
        # Hidden, so that Keras does not track the models a second time.
        self._hidden.blocks = blocks_of(groups, classes)
        self._hidden.ensemble, self._hidden.parts = inference_model(
            generalist, self._named(), self, gives_probabilities(generalist)
        )
        self.build(generalist.input_shape)

    def build(self, input_shape=None):
        """All models are built already."""

    def _named(self):
        return dict(zip(self._names, self.specialists, strict=True))

    @property
    def generalist(self):
        """The generalist."""
        return self._hidden.generalist

    @property
    def ensemble(self):
        """A plain Keras model of generalist, specialists and q; it shares their weights."""
        return self._hidden.ensemble

    def best(self):
        """What comes out: `ensemble`."""
        return self.ensemble

    def call(self, inputs, training=None):
        """The combined prediction q; its logarithm where the models end with logits."""
        return self.ensemble(Batch.of(inputs).inputs, training=False)

    def compute_output_shape(self, input_shape):
        """The generalist's."""
        return self.generalist.compute_output_shape(Batch.of(input_shape).inputs)

    def players(self):
        """The specialists by name."""
        return {name: model.trainable_variables for name, model in self._named().items()}

    def updates(self):
        """One: the specialists do not depend on each other, so all move at once."""
        return [Update("specialists", self._all_terms, self.trainable_variables)]

    def _all_terms(self, x, y, sample_weight, training):
        inputs, terms = Batch.of(x).inputs, {}
        for (name, model), block in zip(self._named().items(), self._hidden.blocks, strict=True):
            labels = block.labels(block.of(labels_given(y)))
            outputs = model(block.of(inputs), training=training)
            task = self.task_loss(labels, outputs, block.of(sample_weight))
            terms |= {} if task is None else {f"{name}_task_loss": reduce_term(task, None)}
            self.log(f"{name}_accuracy", block.right(outputs, labels), x)
            self.log(f"{name}_share", block.inside(labels), x)
        return None, terms

    def log_step(self, x, y, sample_weight, y_pred, loss):
        """As in every trainer, without what only `evaluate` knows."""
        self._loss_tracker.update_state(loss, sample_weight=batch_size(x))
        shown = [self._loss_tracker, *self._trackers.metrics]
        return {mean.name: mean.result() for mean in shown if mean.name != GENERALIST}

    def measure(self, x, y):
        """The accuracy of the generalist, and of each specialist among its own classes."""
        parts, y = self._hidden.parts(Batch.of(x).inputs, training=False), labels_given(y)
        general = parts["generalist"]
        found = {GENERALIST: class_of(general) == labels_of(y, general.shape[-1])}
        for name, block in zip(self._names, self._hidden.blocks, strict=True):
            found[f"{name}_accuracy"] = block.right(parts[name], block.labels(y))
        return found

    def diagnose(self, logs, ignore=()):
        """Warn also of batches that `SpecialistBlocks` has not made."""
        super().diagnose(logs, ignore)
        for name, group in zip(self._names, self.groups, strict=True):
            samples = self.samples_of(f"{name}_share") / len(self.groups)
            warn_of_share(name, group, logs.get(f"{name}_share", 0.5), samples)

    def export(self, path, **kwargs):
        """Export the ensemble; `kwargs` are those of `kzoo.export.export_model`."""
        from kzoo.export import export_model

        return export_model(self.ensemble, path, **kwargs)
