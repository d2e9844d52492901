"""A network learns from what it predicts for other images of the same class."""

from typing import ClassVar

import keras
from keras import ops

from kzoo.losses import soft_targets
from kzoo.losses._arguments import check_number
from kzoo.registry import register
from kzoo.trainers._batch import Batch
from kzoo.trainers._halves import HalvesTrainer
from kzoo.trainers._networks import LOGITS
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers._terms import reduce_term


@register(
    "trainer",
    paper="arXiv:2003.13964",
    aliases=("CS-KD", "CSKD"),
    tiny={"build": lambda small: ClassWiseSelfDistillation(small("student"))},
    passes=2,
)
class ClassWiseSelfDistillation(HalvesTrainer):
    """Trains one network to predict alike for different images of one class.

    Use it where there is no teacher and the network is too sure of itself: few images a class, or
    classes that look alike, as of birds or dogs. It costs a second forward pass, no parameters and
    nothing at inference.

    Reference:
        S. Yun, J. Park, K. Lee, J. Shin, "Regularizing Class-wise Predictions via Self-knowledge
        Distillation", CVPR 2020, arXiv:2003.13964.

    A batch is made by `kzoo.data.SameClassPairs`: images x in its first half, other images x' of
    the same classes in its second, position by position. With logits f and sg, which stops
    gradients,

        L = task_weight · task(y, f(x)) + weight · mean T² KL(sg[softmax(f(x') / T)] ‖
            softmax(f(x) / T)) + regularization

    x' only teaches: its labels are not in the loss. Both halves run in training mode, each in a
    pass of its own with its own batch statistics, so a step updates moving statistics twice.

    Terms are logged as `task_loss` and `class_wise`, and beside them `same_class`, the share of
    pairs that are of one class. A share below 1 gives a warning after the first epoch.
    Compiled metrics are those of the whole batch. Of `sample_weight` the first half counts, in both
    terms. Batches of `evaluate`, `predict` and `validation_data` are of any kind.

    Args:
        model: the network to train, built or not.
        temperature: T > 0.
        weight: weight of the class-wise term, a number or a schedule of the step. 1 is published
            for CIFAR-100 and TinyImageNet, with 128 pairs a batch; 3, with 32 pairs, for
            fine-grained classes.
        task_weight: weight of the compiled loss.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the network takes.
        training: whether it runs in training mode.

    Raises:
        ValueError: for what is no model, a temperature that is not > 0, a weight below 0, and, when
            training, for batches of an odd number of samples.

    Example:

    ```python
    import keras
    import kzoo

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    trainer = kzoo.trainers.ClassWiseSelfDistillation(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile("adam", loss, metrics=["accuracy"])
    dataset = kzoo.data.load("digits", train_size=40)
    batches = dataset.sequence("train", 16, sampler=kzoo.data.SameClassPairs(16))
    trainer.fit(batches, shuffle=False, verbose=0)
    student = trainer.student  # the model, plain Keras
    ```

    Differences from the authors' code: x' runs before x, which moving statistics alone can tell;
    losses that layers add are those of x. `SameClassPairs(distinct=False)` draws pairs as it does.
    """

    configured = ("model", "temperature", "weight", "task_weight")
    source = "`sampler=kzoo.data.SameClassPairs(batch_size)`"
    weighed_by: ClassVar = {"task_loss": "task_weight", "class_wise": "weight"}

    def __init__(self, model, temperature=4.0, weight=1.0, task_weight=1.0, **kwargs):
        check_number("temperature", temperature)
        super().__init__(model, {"weight": weight, "task_weight": task_weight}, **kwargs)
        self.temperature = temperature

    def compute_terms(self, x, y, sample_weight, training):
        """The task's loss of the first half, and how far it is from the second."""
        read = self._hidden.read
        first, second = self.halves(Batch.of(x).inputs)
        labels, weights = self.halves(y)[0], self.halves(sample_weight)[0]
        # First, as a model forgets what `add_loss` gave when its next pass begins.
        teacher = self.call_frozen(lambda x, training: read(x, training=True), second)
        student = read(first, training=training)
        outputs = keras.tree.map_structure(
            lambda *both: ops.concatenate(both), student[OUTPUTS], teacher[OUTPUTS]
        )
        self.log_pairs(outputs, x, y)
        losses = soft_targets(teacher[LOGITS], student[LOGITS], self.temperature)
        terms = {
            "task_loss": self.task_loss(labels, student[OUTPUTS], weights),
            "class_wise": reduce_term(losses, weights),
        }
        return outputs, self.weigh(terms)
