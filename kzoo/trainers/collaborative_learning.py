"""Heads on a shared trunk that teach each other."""

from keras import ops

from kzoo.losses import soft_targets
from kzoo.losses._arguments import check_choice, check_number
from kzoo.registry import register
from kzoo.trainers._batch import Batch
from kzoo.trainers._consensus import sources
from kzoo.trainers._heads import Heads
from kzoo.trainers._networks import LOGITS
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._tree import small_tree


@register(
    "trainer",
    paper="arXiv:1805.11761",
    aliases=("CL", "CL-ILR", "ILR"),
    tiny={"build": lambda small: CollaborativeLearning(**small_tree(small))},
)
class CollaborativeLearning(Heads):
    """Several heads on a shared trunk learn from the labels and from what the others agree on.

    Use it to train a network better at the cost of a longer training and none later: one head is
    kept, which is the network itself. It costs less than `MutualLearning`, as the
    trunk runs once for all heads.

    Reference:
        G. Song, W. Chai, "Collaborative Learning for Deep Neural Networks", NeurIPS 2018,
        arXiv:1805.11761.

    With the logits z_h of the H heads, T the temperature and sg stopping gradients

        q_h = sg[softmax(mean of z_j over j ≠ h / T)]
        L_h = beta · task(y, p_h) − (1 − beta) · Σ_k q_h[k] log softmax(z_h / T)[k]
        L = Σ_h L_h + regularization

    and `variant="reference"` has T² KL(q_h ‖ softmax(z_h / T)), as public code does, where the
    paper has the cross-entropy.

    At each split the gradients of the n branches are averaged: the layers before it get the 1/n of
    their sum, so that they learn at the rate of a single network. Nothing else is scaled:
    neither the heads' gradients nor regularisers and weight decay.

    The tree is cut from models that `model_builder` makes. With `split="stage2"` and `num_heads=4`
    the trunk is the first model up to that tap, and the heads are the rest of four models. With
    `split=["stage1", "stage2"]` and `num_heads=[2, 2]` two branches each split in two.
    A tree of your own is `trunk` and `heads`, in which a head that splits again
    is `{"trunk": model, "heads": [...]}`.

    Terms are logged as `task_loss` and `consensus`, each the weighted sum over the heads, and
    beside them `head<i>_accuracy` of each head and `ensemble_accuracy` of their mean logits; the
    latter by `evaluate` too. `accuracy` and other compiled metrics are the first head's, which
    `predict` runs. `student` is the first head, `best()` the one that was most accurate when last
    validated, `classifiers` are all: plain models with the layers, names and costs of what the
    builder makes.

    Args:
        model_builder: a function without arguments that makes a functional classifier with a new
            initialisation at each call.
        trunk: instead of it, the functional model that all heads read.
        heads: two or more functional models that take what `trunk` returns.
        num_heads: branches at the split, or a list with one number for each split.
        split: the tap at which the builder's models are cut, or a list from shallow to deep.
        temperature: T > 0.
        beta: weight of the labels in [0, 1]; the others' is 1 − beta.
        variant: `"paper"` or `"reference"`.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the trunk takes.
        training: whether to run in training mode.

    Raises:
        ValueError: for fewer than two heads, for heads that share weights, start alike, have
            different classes or do not take what the trunk returns, for a tap that the models
            do not have, and for `beta` outside of [0, 1].

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    def network():
        return kzoo.applications.ResNet(8, filters=4, input_shape=(8, 8, 1), classes=3)

    group = kzoo.trainers.CollaborativeLearning(network, num_heads=2)
    group.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.random.rand(8, 8, 8, 1).astype("float32"), np.arange(8) % 3
    group.fit(x, y, validation_data=(x, y), verbose=0)
    model = group.best()  # a plain ResNet
    ```

    Differences from the paper: none in the loss. `get_config` holds the parts of the tree in place
    of the builder, so a loaded trainer has `trunk` and `heads`.
    """

    configured = ("trunk", "heads", "temperature", "beta", "variant")

    def __init__(
        self,
        model_builder=None,
        trunk=None,
        heads=None,
        num_heads=4,
        split="stage2",
        temperature=2.0,
        beta=0.5,
        variant="paper",
        **kwargs,
    ):
        check_number("temperature", temperature)
        check_number("beta", beta, 0.0, 1.0, inclusive=True)
        check_choice("variant", variant, ("paper", "reference"))
        super().__init__(model_builder, trunk, heads, num_heads, split, **kwargs)
        self.temperature, self.beta, self.variant = temperature, beta, variant

    def call(self, inputs, training=None):
        """The first head's output."""
        return self.student(Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The first head's."""
        return self.student.compute_output_shape(Batch.of(input_shape).inputs)

    def compute_terms(self, x, y, sample_weight, training):
        """The sums over the heads of the task loss and of what the others agree on."""
        tree, terms = self._hidden.tree, {}
        found = tree.read(Batch.of(x).inputs, training, rescale=True)
        self.log_accuracies(tree.scores(found), x, y)
        if self.beta > 0 and self._compile_loss is not None:
            losses = [self.task_loss(y, one[OUTPUTS], sample_weight) for one in found]
            terms["task_loss"] = self.beta * sum(losses)
        if self.beta < 1:
            logits = [ops.cast(one[LOGITS], "float32") for one in found]
            losses = [self._consensus(logits, index) for index in range(len(logits))]
            terms["consensus"] = (1 - self.beta) * sum(losses)
        return found[0][OUTPUTS], terms

    def _consensus(self, logits, index):
        """What one head learns from the others, for each sample."""
        (others,) = sources("leave_one_out", logits, index)
        if self.variant == "reference":
            return soft_targets(others, logits[index], self.temperature)
        wanted = ops.softmax(ops.stop_gradient(others) / self.temperature)
        return -ops.sum(wanted * ops.log_softmax(logits[index] / self.temperature), axis=-1)

    @property
    def student(self):
        """The first head as a plain Keras model, with the layers of the network that was cut."""
        return next(iter(self._hidden.classifiers.values()))
