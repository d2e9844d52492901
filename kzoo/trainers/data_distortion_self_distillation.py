"""A network learns to predict alike for two distorted views of an image."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

from keras import ops

from kzoo.losses import soft_targets
from kzoo.losses._arguments import check_choice, check_number
from kzoo.registry import register
from kzoo.trainers._batch import Batch
from kzoo.trainers._halves import HalvesTrainer
from kzoo.trainers._networks import LOGITS
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._terms import reduce_term, sample_weights


@register(
    "trainer",
    paper="10.1609/aaai.v33i01.33015565",
    aliases=("DDGSD",),
    tiny={"build": lambda small: DataDistortionSelfDistillation(small("student"))},
)
class DataDistortionSelfDistillation(HalvesTrainer):
    """Trains one network on two distorted views of each image, which teach each other.

    Use it where there is no teacher and images can be augmented: augmentation then not only
    enlarges the data, its views are tied together. A step costs as much as one of twice the
    batch; nothing is added to the network.

    Reference:
        T.-B. Xu, C.-L. Liu, "Data-Distortion Guided Self-Distillation for Deep Neural Networks",
        AAAI 2019, doi:10.1609/aaai.v33i01.33015565.

    A batch is made with `views=2`: the first view a of all images in its first half, the second
    view b in its second. With softened probabilities p = softmax(logits / T), features f and
    m = mean over the batch,

        L = task_weight · [task(y, a) + task(y, b)]
            + weight · mean T² [KL(p_a ‖ p_b) + KL(p_b ‖ p_a)]
            + feature_weight · ‖m(f_a) − m(f_b)‖² + regularization

    | `variant` | T | task term | gradient of KL(p ‖ q) | features |
    |---|---|---|---|---|
    | `"paper"` | 1 | as above | by p and q | squared difference, summed over channels |
    | `"reference"` | 4 | a quarter of it | by q alone | squared difference of the means over all |

    Both views run in one pass, with the batch statistics of both. The last term is the maximum mean
    discrepancy (MMD) with a linear kernel; it couples the samples of a batch, and under a
    distribution strategy those of a replica.

    Terms are logged as `task_loss`, `consistency` and `mmd`, and beside them `same_class`, the
    share of pairs that have one label. A share below 1 gives a warning after the first epoch.
    Compiled metrics are those of the whole batch. `sample_weight` weighs the task's loss of each
    view, and its mean over both views their consistency; it has no effect on `mmd`. Batches of
    `evaluate`, `predict` and `validation_data` are of any kind.

    Args:
        model: the network to train, built or not.
        weight: weight of the consistency of predictions, a number or a schedule of the step.
        feature_weight: weight of the MMD. The published one, 5e-4, is 1e-4 on CIFAR-10.
        task_weight: weight of the compiled loss.
        temperature: T > 0; `None` for that of the variant.
        feature_tap: the features, those before the classifier; maps are averaged over space.
        variant: `"paper"` or `"reference"`.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the network takes.
        training: whether it runs in training mode.

    Raises:
        ValueError: for what is no model, an unknown tap or variant, a temperature that is not > 0,
            a weight below 0, and, when training, for batches of an odd number of samples.

    Example:

    ```python
    import keras
    import kzoo

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )
    trainer = kzoo.trainers.DataDistortionSelfDistillation(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile("adam", loss, metrics=["accuracy"])
    dataset = kzoo.data.load("digits", train_size=40)
    batches = dataset.sequence("train", 16, shuffle=True, augment="shift", views=2)
    trainer.fit(batches, shuffle=False, verbose=0)
    student = trainer.student  # the model, plain Keras
    ```

    Differences from the paper: its code is not available, so `"reference"` is what another library
    computes, Self-Knowledge-Distillation-Lib. In `"paper"`, the symmetric term is differentiated
    as written, by both sides. One augmentation makes both views.
    """

    configured = (
        "model",
        "weight",
        "feature_weight",
        "task_weight",
        "temperature",
        "feature_tap",
        "variant",
    )
    source = "`views=2` and an `augment` of kzoo.data"
    weighed_by: ClassVar = {
        "task_loss": "task_weight",
        "consistency": "weight",
        "mmd": "feature_weight",
    }

    def __init__(
        self,
        model,
        weight=1.0,
        feature_weight=5e-4,
        task_weight=1.0,
        temperature=None,
        feature_tap="pooled",
        variant="paper",
        **kwargs,
    ):
        published = _VARIANTS[check_choice("variant", variant, tuple(_VARIANTS))]
        temperature = published.temperature if temperature is None else temperature
        check_number("temperature", temperature)
        weights = {"weight": weight, "feature_weight": feature_weight, "task_weight": task_weight}
        further = () if feature_weight == 0 else (feature_tap,)
        super().__init__(model, weights, further, **kwargs)
        self.temperature, self.feature_tap, self.variant = temperature, feature_tap, variant

    def compute_terms(self, x, y, sample_weight, training):
        """The task's loss of both views, and how far their predictions and features are apart."""
        variant, inputs = _VARIANTS[self.variant], Batch.of(x).inputs
        self.halves(inputs)
        found = self._hidden.read(inputs, training=training)
        self.log_pairs(found[OUTPUTS], x, y)
        weights = sample_weights(sample_weight)
        if weights is not None:
            weights = sum(self.halves(weights)) / 2.0
        first, second = self.halves(found[LOGITS])
        terms = {
            "task_loss": self._task(y, found[OUTPUTS], sample_weight, variant.task),
            "consistency": reduce_term(
                variant.divergence(first, second, self.temperature), weights
            ),
        }
        if self.feature_tap in found:
            terms["mmd"] = variant.discrepancy(*self.halves(found[self.feature_tap]))
        return found[OUTPUTS], self.weigh(terms)

    def _task(self, y, outputs, sample_weight, factor):
        if self._compile_loss is None:
            return None
        parts = (self.halves(part) for part in (y, outputs, sample_weight))
        return factor * sum(self.task_loss(*view) for view in zip(*parts, strict=True))


def _symmetric(first, second, temperature):
    """T² [KL(p ‖ q) + KL(q ‖ p)] of each pair, with gradients by both."""
    first = ops.log_softmax(ops.cast(first, "float32") / temperature)
    second = ops.log_softmax(ops.cast(second, "float32") / temperature)
    return temperature**2 * ops.sum((ops.exp(first) - ops.exp(second)) * (first - second), axis=-1)


def _taught(first, second, temperature):
    """The same value, but what teaches gets no gradient."""
    there = soft_targets(first, second, temperature)
    return there + soft_targets(second, first, temperature)


def _between_means(first, second):
    return ops.sum(ops.square(_mean(first) - _mean(second)))


def _between_overall_means(first, second):
    return ops.square(ops.mean(_mean(first)) - ops.mean(_mean(second)))


def _mean(features):
    """Of each channel, over samples and space."""
    return ops.mean(ops.cast(features, "float32"), axis=tuple(range(len(features.shape) - 1)))


@dataclasses.dataclass(frozen=True)
class _Variant:
    temperature: float
    task: float
    divergence: Callable
    discrepancy: Callable


_VARIANTS = {
    "paper": _Variant(1.0, 1.0, _symmetric, _between_means),
    "reference": _Variant(4.0, 0.25, _taught, _between_overall_means),
}
