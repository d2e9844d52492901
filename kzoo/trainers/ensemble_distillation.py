"""Heads on a shared trunk whose mean is the classifier."""

import math

from kzoo.losses import soft_targets
from kzoo.losses._arguments import check_number
from kzoo.registry import register
from kzoo.trainers._batch import Batch
from kzoo.trainers._heads import Heads
from kzoo.trainers._networks import LOGITS
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._tree import small_tree


@register(
    "trainer",
    paper="arXiv:1905.09979",
    aliases=("EnsembleNet",),
    tiny={"build": lambda small: EnsembleDistillation(**small_tree(small))},
)
class EnsembleDistillation(Heads):
    """Several heads on a shared trunk are trained as one ensemble, and stay one.

    Use it where an ensemble is affordable if it shares most of its layers: the result is trunk and
    heads as one model that averages the heads' logits. Where one head must do, use
    `CollaborativeLearning`.

    Reference:
        H. Li, J. Y.-H. Ng, P. Natsev, "EnsembleNet: End-to-End Optimization of Multi-headed
        Models", 2019, arXiv:1905.09979.

    With the heads' logits z_1 ... z_H and λ = `ensemble_weight`

        z = mean_i z_i
        L = (1 − λ) · mean_i task(y, z_i) + λ · task(y, z) + regularization

    For the cross-entropy mean_i task(y, z_i) − task(y, z) = mean_i KL(p ‖ p_i) ≥ 0 with
    p = softmax(z) and p_i = softmax(z_i), so L is the heads' mean loss plus −λ times that
    divergence:

    | λ | effect |
    |---|---|
    | 1 | the ensemble's loss alone; no head need be good by itself |
    | between 0 and 1 | the heads' losses, and a reward for differing |
    | 0 | the heads learn side by side |
    | below 0 | co-distillation of strength −λ: the heads are drawn to their mean |

    Gradients are not rescaled: λ = 0 moves the trunk by the mean of the heads' losses.

    The tree is cut from models of `model_builder`, or given as `trunk` and `heads`, as for
    `CollaborativeLearning`. The compiled loss takes the ensemble in the form of the heads' outputs:
    the softmax of z where they end with a softmax, else z itself.

    Terms are logged as `heads_loss` and `ensemble_loss`, each with its weight in it, so that one is
    negative below 0. Beside them: `divergence`, the mean KL(p ‖ p_i); `ensemble_accuracy` and
    `head<i>_accuracy`, the latter two by `evaluate` too. `predict` runs the ensemble, and the
    compiled metrics are the ensemble's. `ensemble` is that as one plain Keras model,
    `classifiers` has also each head alone, and `best()` is the one of all these that was most
    accurate when last validated.

    Args:
        model_builder: a function without arguments that makes a functional classifier with a new
            initialisation at each call.
        trunk: instead of it, the functional model that all heads read.
        heads: two or more functional models that take what `trunk` returns.
        num_heads: branches at the split, or a list with one number for each split.
        split: the tap at which the builder's models are cut, or a list from shallow to deep.
        ensemble_weight: λ, any number up to 1.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the trunk takes.
        training: whether to run in training mode.

    Raises:
        ValueError: for fewer than two heads, for heads that share weights, start alike, have
            different classes or do not take what the trunk returns, for a tap that the models
            do not have, and for `ensemble_weight` above 1.

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    def network():
        return kzoo.applications.ResNet(8, filters=4, input_shape=(8, 8, 1), classes=3)

    group = kzoo.trainers.EnsembleDistillation(network, num_heads=2, ensemble_weight=-0.5)
    group.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.random.rand(8, 8, 8, 1).astype("float32"), np.arange(8) % 3
    group.fit(x, y, verbose=0)
    model = group.ensemble  # a plain Keras model
    ```

    Differences from the paper: only its abstract was at hand. The loss is the mix of the heads' and
    the ensemble's cross-entropy, extended below 0, where it distils; the default of λ is ours, and
    the best one is to be found by validation.
    """

    configured = ("trunk", "heads", "ensemble_weight")

    def __init__(
        self,
        model_builder=None,
        trunk=None,
        heads=None,
        num_heads=4,
        split="stage2",
        ensemble_weight=-1.0,
        **kwargs,
    ):
        check_number("ensemble_weight", ensemble_weight, -math.inf, 1.0)
        super().__init__(model_builder, trunk, heads, num_heads, split, **kwargs)
        self.ensemble_weight = ensemble_weight
        self._hidden.ensemble = self._hidden.tree.ensemble()

    def call(self, inputs, training=None):
        """The ensemble's output."""
        return self.ensemble(Batch.of(inputs).inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The ensemble's."""
        return self.ensemble.compute_output_shape(Batch.of(input_shape).inputs)

    def compute_terms(self, x, y, sample_weight, training):
        """The weighted losses of the heads and of the ensemble."""
        tree, weight, terms = self._hidden.tree, self.ensemble_weight, {}
        found = tree.read(Batch.of(x).inputs, training)
        scores = tree.scores(found)
        self.log_accuracies(scores, x, y)
        self._log_divergence(found, x)
        if self._compile_loss is not None:
            if weight != 1:
                losses = [self.task_loss(y, one[OUTPUTS], sample_weight) for one in found]
                terms["heads_loss"] = (1 - weight) * sum(losses) / len(losses)
            if weight != 0:
                loss = self.task_loss(y, scores["ensemble"], sample_weight)
                terms["ensemble_loss"] = weight * loss
        return scores["ensemble"], terms

    def _log_divergence(self, found, x):
        """How far the heads are from their mean."""
        logits = [one[LOGITS] for one in found]
        mean = sum(logits) / len(logits)
        self.log("divergence", sum(soft_targets(mean, z, 1.0) for z in logits) / len(logits), x)

    @property
    def ensemble(self):
        """Trunk and all heads as one plain Keras model."""
        return self._hidden.ensemble

    @property
    def classifiers(self):
        """The ensemble, and each head as a plain model from the inputs to it."""
        return {"ensemble": self.ensemble, **super().classifiers}
