"""A student that must pass for the teacher before a discriminator."""

import keras

from kzoo.losses._arguments import check_choice, check_number
from kzoo.registry import register
from kzoo.trainers._adversary import Adversary, check_models
from kzoo.trainers._checks import Schedule, check_weight

# Weights of the terms `distillation` and `adversarial`.
DEFAULTS = {"logits": (1.0, 1.0), "feature": (0.0, 0.1), "kdgan": (1.0, 0.5)}
WEIGHTS = (
    "task_weight",
    "distillation_weight",
    "adversarial_weight",
    "label_weight",
    "teacher_distillation_weight",
)


@register(
    "trainer",
    paper="arXiv:1709.00513",
    aliases=("KDGAN", "ConditionalAdversarialDistillation", "GANDistillation"),
    tiny={"build": lambda small: AdversarialDistillation(small("student"), small("teacher"))},
    players=("student", "discriminator"),
)
class AdversarialDistillation(Adversary):
    """Trains a student to pass for its teacher before a discriminator that learns too.

    Use it for a student much smaller than its teacher, which cannot follow the teacher's every
    logit: the discriminator asks for outputs as the teacher's might be, not for the same ones. Run
    `SoftTargets` first. A student that always loses to the discriminator may be harmed by a weight
    of 1; one of 0.1 differs less from seed to seed.

    Reference:
        Z. Xu, Y.-C. Hsu, J. Huang, "Training Shallow and Thin Networks for Acceleration via
        Knowledge Distillation with Conditional Adversarial Networks", arXiv:1709.00513;
        `"kdgan"`: X. Wang, R. Zhang, Y. Sun, J. Qi, "KDGAN: Knowledge Distillation with
        Generative Adversarial Networks", NeurIPS 2018.

    `"logits"`: t and s are the logits of teacher and student, whose dropout is the noise of this
    GAN; d is the discriminator's first output, q the softmax of the others, one for each class.
    With softplus(−d) = −log D and softplus(d) = −log(1 − D),

        L_discriminator = softplus(−d(t)) + softplus(d(s)) − log q_y(t) − log q_y(s)
        L_student = task_weight · task(y, p) + distillation_weight · ‖t − s‖₁
                    + adversarial_weight · softplus(−d(s)) − label_weight · log q_y(s)

    `"feature"`: the same with the features at `tap` as t and s, maps averaged over space. Where
    widths differ, a `Dense` layer on the student's side, `adapter`, is trained with it but is no
    part of it. The discriminator is spectrally normalised, so its Lipschitz constant is near 1.

    `"kdgan"`: the discriminator reads the image x and scores labels, D(x, y) = σ(d(x) · y). It
    tells true labels y from labels drawn by student and teacher, and both learn:

        L_discriminator = softplus(−d · y) + (softplus(d · y_s) + softplus(d · y_t)) / 2
        L_student = task_weight · task + distillation_weight · T² KL(p_t ‖ p_s)
                    + adversarial_weight · softplus(−d · y_s)

    L_teacher is alike, with KL(p_s ‖ p_t) and `teacher_distillation_weight`. Labels are drawn from
    a concrete distribution, y_s = softmax((log p_s + g) / τ) with Gumbel noise g, and gradients
    flow through them; a discriminator with d = 0, so D = 1/2 for all labels, moves nobody. With
    `variant="reference"` one class k is drawn, and its logit s_k is trained by the cross-entropy
    of σ(s_k) towards the reward D(x, k): the gradient by s_k is σ(s_k) − D, with D = 1/2
    σ(s_k) − 1/2. With `adversarial_weight=0` the student's loss is that of `SoftTargets`.

    The players `"discriminator"`, in `"kdgan"` `"teacher"`, and `"student"` move in this order on
    each batch. `compile` takes one optimiser, of which each gets a copy, or
    `PlayerOptimizers({player: optimizer})`; the authors of KDGAN used Adam, with 1e-3 for the
    discriminator and 5e-4 for the others. No mode changes the given teacher: in `"kdgan"` a copy
    learns, `trainer.teacher`.

    Terms are logged as `<player>_<term>`; beside them `discriminator_accuracy`, the share of its
    verdicts that are right (1/2 where it cannot tell), `teacher_accuracy` and `agreement`. Where
    the first stays near 1 it teaches nothing: lower the weight or the discriminator's rate.

    Args:
        student: the model to train.
        teacher: a trained `keras.Model`; except for `"kdgan"` also a `Teacher`, `TeacherEnsemble`
            or `TeacherCache`.
        mode: `"logits"`, `"feature"` or `"kdgan"`.
        discriminator: a model from vectors to 1 + classes logits, or to 1; of `"kdgan"` from
            images to one for each class. `None`: hidden layers of 128, 256 and 128; of `"kdgan"`
            the teacher's architecture with new weights.
        task_weight: weight of the compiled loss. All weights are numbers or schedules of the step.
        distillation_weight: `None`: 1, of `"feature"` 0.
        adversarial_weight: `None`: 1; of `"feature"` 0.1; of `"kdgan"` 1/2, for student and teacher
            (the paper's α).
        label_weight: of the discriminator's class outputs; not of `"kdgan"`.
        tap: a tap that both models have, of `"feature"`.
        temperature: T of `"kdgan"`.
        teacher_distillation_weight: of `"kdgan"`. The paper warns of large ones (its γ).
        gumbel_temperature: τ > 0 of `"kdgan"`, a number or a schedule. The authors went from 10
            down to 0.1, exponentially.
        variant: of `"kdgan"`, `"paper"` or `"reference"` (the authors' code).
        seed: of the labels drawn in `"kdgan"`.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the student takes.
        training: whether the student runs in training mode.

    Raises:
        ValueError: for unknown names, a teacher with other classes, and a discriminator whose
            inputs or outputs do not fit; in `"kdgan"` for a `y` that holds no classes.

    Example:

    ```python
    import keras
    import numpy as np
    import kzoo

    def classifier(units):
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
        )

    trainer = kzoo.trainers.AdversarialDistillation(classifier(2), classifier(16))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile("adam", loss, metrics=["accuracy"])
    trainer.fit(np.random.rand(8, 4), np.arange(8) % 3, verbose=0)
    student = trainer.student  # a plain Keras model
    ```

    Differences from the papers: student and teacher minimise −log D, not log(1 − D). `"feature"` is
    in neither paper, its weights are ours, and so is the weight of the class term. KDGAN pretrains
    its players on the labels and moves each for epochs in turn; here `task_weight` keeps both
    classifiers at the labels, and 0 is the paper's game. Its Algorithm 1 writes a score function of
    the relaxed label; here the gradient flows through the label.
    """

    weights_of_terms = WEIGHTS
    configured = (
        *("student", "teacher", "mode", "discriminator", *WEIGHTS),
        *("tap", "temperature", "gumbel_temperature", "variant", "seed"),
    )

    def __init__(
        self,
        student,
        teacher,
        mode="logits",
        discriminator=None,
        task_weight=1.0,
        distillation_weight=None,
        adversarial_weight=None,
        label_weight=1.0,
        tap="pooled",
        temperature=3.0,
        teacher_distillation_weight=1e-4,
        gumbel_temperature=1.0,
        variant="paper",
        seed=None,
        **kwargs,
    ):
        check_models(student=student, discriminator=discriminator)
        distillation, adversarial = DEFAULTS[check_choice("mode", mode, tuple(DEFAULTS))]
        kwargs.setdefault("dtype", student.dtype_policy)
        super().__init__(student, teacher, plays=mode == "kdgan", **kwargs)
        self.mode, self.discriminator, self.tap = mode, discriminator, tap
        self.task_weight, self.label_weight = task_weight, label_weight
        given = (distillation_weight, adversarial_weight)
        self.distillation_weight = distillation if given[0] is None else given[0]
        self.adversarial_weight = adversarial if given[1] is None else given[1]
        self.teacher_distillation_weight = teacher_distillation_weight
        for name in WEIGHTS:
            check_weight(name, getattr(self, name))
        self.temperature = check_number("temperature", temperature)
        if not isinstance(gumbel_temperature, Schedule):
            check_number("gumbel_temperature", gumbel_temperature)
        self.gumbel_temperature, self.seed = gumbel_temperature, seed
        self.variant = check_choice("variant", variant, ("paper", "reference"))
        self.noise = keras.random.SeedGenerator(seed)
        self.prepare_if_built()
