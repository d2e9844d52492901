"""A student learns from a frozen teacher without data: a generator makes the images."""

import warnings

from keras import ops

from kzoo import taps
from kzoo.losses import soft_targets
from kzoo.losses._arguments import check_integer, check_number
from kzoo.registry import register
from kzoo.trainers._checks import Schedule, check_variables, check_weight, weight_at
from kzoo.trainers._data_free import DataFree
from kzoo.trainers._data_free_terms import activation, entropy, generated_classes, one_hot
from kzoo.trainers._image_source import check_student, image_shape_of, image_source
from kzoo.trainers._networks import LOGITS, check_softmax
from kzoo.trainers._teaching import OUTPUTS
from kzoo.trainers.player_optimizers import steps_done
from kzoo.trainers.teacher import Teacher

_WEIGHTS = ("one_hot_weight", "entropy_weight", "activation_weight")
_COLLAPSED = 1.5


@register(
    "trainer",
    paper="arXiv:1904.01186",
    aliases=("DAFL", "DataFreeLearning"),
    tiny={"build": lambda small: _tiny(small)},
    players=("generator", "student"),
    data=False,
)
class DataFreeDistillation(DataFree):
    """Distils a teacher without a single image: a generator learns to make what it knows.

    Use it where a trained classifier is at hand and its data are not: they are private, lost or
    too large to send. With data, `Distiller` is better and far cheaper.

    Reference:
        H. Chen, Y. Wang, C. Xu, Z. Yang, C. Liu, B. Shi, C. Xu, C. Xu, Q. Tian, "Data-Free
        Learning of Student Networks", ICCV 2019, arXiv:1904.01186.

    Each step draws latent vectors z from N(0, 1) and makes images x = G(z). With the teacher's
    logits t, its features f and its mean prediction over the batch p̄, generator and student
    minimise

        L_G = one_hot_weight · CE(t, argmax t) + entropy_weight · Σ_k p̄_k log₁₀ p̄_k
              − activation_weight · mean |f|
        L_S = T² KL(softmax(sg[t] / T) ‖ softmax(S(sg[x]) / T))

    where sg stops gradients: the teacher should be sure of each image, see all classes equally
    often and answer with strong features. Images are made once a step; the teacher runs once, in
    inference mode, and is never changed; both players move at once, each with its own
    optimiser: `PlayerOptimizers({"generator": Adam(...), "student": Adam(...)})`. Published were

    | data | batch | epochs | G, Adam | S | latent | one-hot | entropy | activation |
    |---|---|---|---|---|---|---|---|---|
    | MNIST | 512 | 200 | 0.2 | 2e-3 (Adam) | 100 | 1 | 5 | 0.1 |
    | CIFAR-10 | 1024 | 2000 | 0.02 | 0.1 (SGD), ×0.1 at 800, 1600 | 1000 | 0.05 | 5 | 0.01 |
    | CIFAR-100 | 1024 | 2000 | 0.02 | 0.1 (SGD), ×0.1 at 800, 1600 | 1000 | 0.5 | 20 | 0.1 |

    in epochs of 120 steps. For some hundred steps try a far lower learning rate of the generator
    too, such as 0.005, and several seeds: on small images they differ by many points.

    `fit(epochs=...)` takes no training data and refuses any. The compiled loss and metrics are for
    `evaluate` and `validation_data`, which shows how far the student is; `predict` runs it.

    The terms are `one_hot`, `entropy`, `activation` and `soft_targets`; also logged are
    `teacher_confidence`, the mean of its highest probability, `agreement`, the share of images
    to which both give the same class, and `generated_classes`, e to the entropy of the classes of a
    batch: 10 where ten are equally frequent, 1 where the generator has collapsed to one.

    `images="noise"` and `images=array` are the baselines of the paper's table: the same
    distillation on Gaussian noise, or on unlabelled images of something else. There is no
    generator then and one player, `"student"`, so `compile` takes any optimiser.

    Args:
        student: the model to train, built or not.
        teacher: a trained classifier with the student's inputs and classes.
        generator: a Keras model from `(latent,)` to what the teacher takes; `None` for the paper's,
            made for the teacher's images. It stays available as `generator`.
        latent: length of the latent vectors.
        batch_size: images in a step, 2 or more. The entropy needs many times the classes.
        one_hot_weight: weight of that term, a number or a schedule of the step.
        entropy_weight: the same of the entropy.
        activation_weight: the same of the features.
        feature_tap: the teacher's tap whose features should be strong.
        temperature: T > 0 of the student's loss.
        images: `"generated"`, `"noise"` or an array of images, normalised as the teacher's.
        variant: of the default generator: `"paper"`, or `"reference"` for the code's, which gives
            two of its normalisations an epsilon of 0.8.
        generator_filters: of the default generator's first maps, half as many behind them; the
            paper's 128 cost most of a step, and small images need fewer.
        steps_per_epoch: what an epoch is; `fit` may say otherwise.
        seed: of latent vectors, noise and drawn images.
        **kwargs: those of `keras.Model`.

    Call arguments:
        inputs: what the student takes.
        training: whether the student runs in training mode.

    Raises:
        ValueError: for a generator or images that do not fit the teacher, for a student with other
            inputs or classes, and in `fit` for training data.

    Example:

    ```python
    import keras
    import kzoo

    def classifier(filters):
        image = keras.Input((8, 8, 1))
        maps = keras.layers.Conv2D(filters, 3, activation="relu")(image)
        pooled = keras.layers.GlobalAveragePooling2D()(maps)
        return keras.Model(image, keras.layers.Dense(3)(pooled))

    trainer = kzoo.trainers.DataFreeDistillation(
        student=classifier(4), teacher=classifier(16), latent=8, batch_size=16
    )
    adam = keras.optimizers.Adam
    trainer.compile(
        kzoo.trainers.PlayerOptimizers({"generator": adam(0.2), "student": adam(2e-3)})
    )
    trainer.fit(epochs=1, steps_per_epoch=2, verbose=0)
    images, student = trainer.sample(4), trainer.student  # NumPy, and a plain Keras model
    ```

    Where paper and code differ, losses and step are those of the authors' code, to which the
    published weights belong: an entropy to base 10, the mean of the features, and one set of
    images by which both players move. The code's features of a LeNet-5 are its last maps, in
    kzoo's `feature_tap="c5_activation"`; the default is what every classifier has.
    """

    configured = (
        *("student", "teacher", "generator", "latent", "batch_size", *_WEIGHTS, "feature_tap"),
        *("temperature", "images", "variant", "generator_filters", "steps_per_epoch", "seed"),
    )

    def __init__(
        self,
        student,
        teacher,
        generator=None,
        latent=100,
        batch_size=512,
        one_hot_weight=1.0,
        entropy_weight=5.0,
        activation_weight=0.1,
        feature_tap="pooled",
        temperature=1.0,
        images="generated",
        variant="paper",
        generator_filters=128,
        steps_per_epoch=120,
        seed=None,
        **kwargs,
    ):
        weights = (one_hot_weight, entropy_weight, activation_weight)
        for name, weight in zip(_WEIGHTS, weights, strict=True):
            check_weight(name, weight)
        if all(not isinstance(weight, Schedule) and weight == 0 for weight in weights):
            raise ValueError(f"One of {_WEIGHTS} must be above 0. Received: 0 for all.")
        shape = image_shape_of(teacher)
        latent = check_integer("latent", latent)
        source = image_source(images, generator, latent, shape, variant, generator_filters)
        check_student(student, source.image_shape)
        check_variables(student, [Teacher(teacher)])
        super().__init__(student, teacher, source, batch_size, steps_per_epoch, seed, **kwargs)
        self.latent, self.images, self.variant = latent, images, variant
        self.generator_filters = generator_filters
        self.one_hot_weight, self.entropy_weight = one_hot_weight, entropy_weight
        self.activation_weight, self.feature_tap = activation_weight, feature_tap
        self.temperature = check_number("temperature", temperature)
        self._prepare()

    def _prepare(self):
        features = [self.feature_tap] if self.generator is not None else []
        teach = taps.extractor(check_softmax(self.teacher), [LOGITS, *features])
        learn = taps.extractor(check_softmax(self.student), [OUTPUTS, LOGITS])
        classes = [read.tap_shapes[LOGITS][-1] for read in (teach, learn)]
        if len(set(classes)) > 1:
            raise ValueError(
                "Teacher and student must have the same classes in the same order. Received: "
                f"{classes[0]} classes of the teacher, {classes[1]} of the student."
            )
        self.classes = classes[0]
        # Hidden, so that Keras does not track the models a second time.
        self._hidden.teach, self._hidden.learn = teach, learn
        self.built = True

    def players(self):
        """The student, and the generator where there is one."""
        models = {"generator": self.generator, "student": self.student}
        return {n: m.trainable_variables for n, m in models.items() if m is not None}

    def compute_terms(self, x, y, sample_weight, training):
        """Those of the generator and that of the student, on the same images."""
        images = self.draw(x, training)
        # Not `call_frozen`: the generator learns by the gradient through the teacher.
        teacher = self._hidden.teach(images, training=False)
        student = self._hidden.learn(ops.stop_gradient(images), training=training)
        self._log_classes(teacher[LOGITS], student[LOGITS], x)
        terms = {} if self.generator is None else self._generator_terms(teacher)
        divergence = soft_targets(teacher[LOGITS], student[LOGITS], self.temperature)
        return student[OUTPUTS], {**terms, "soft_targets": divergence}

    def _generator_terms(self, teacher):
        step, terms = steps_done(self.optimizer), {}
        if self.one_hot_weight != 0:
            terms["one_hot"] = one_hot(teacher[LOGITS]) * weight_at(self.one_hot_weight, step)
        if self.entropy_weight != 0:
            terms["entropy"] = entropy(teacher[LOGITS]) * weight_at(self.entropy_weight, step)
        if self.activation_weight != 0:
            strength = activation(teacher[self.feature_tap])
            terms["activation"] = strength * weight_at(self.activation_weight, step)
        return terms

    def _log_classes(self, teacher, student, x):
        same = ops.argmax(teacher, axis=-1) == ops.argmax(student, axis=-1)
        confidence = ops.max(ops.softmax(ops.cast(teacher, "float32"), axis=-1), axis=-1)
        self.log("teacher_confidence", confidence, x)
        self.log("agreement", ops.cast(same, "float32"), x)
        self.log("generated_classes", generated_classes(teacher), x)

    def diagnose(self, logs, ignore=()):
        """Warn about terms that stayed 0 and about images of a single class."""
        scheduled = [n for n in _WEIGHTS if isinstance(getattr(self, n), Schedule)]
        # A teacher that is sure of every image is what the generator is after.
        quiet = ("one_hot", *(name.removesuffix("_weight") for name in scheduled))
        super().diagnose(logs, (*ignore, *quiet))
        enough = self.samples_of("generated_classes") >= 20 * self.classes
        collapsed = logs.get("generated_classes", _COLLAPSED) < _COLLAPSED
        if self.generator is not None and enough and collapsed:
            warnings.warn(
                "Nearly all images of the first epoch are of one class to the teacher "
                f"(generated_classes={logs['generated_classes']:.2f}), and the student learns "
                "that one alone. Raise entropy_weight, or lower the generator's learning rate.",
                stacklevel=2,
            )


def _tiny(small):
    options = {"latent": 4, "batch_size": 8, "entropy_weight": 1.0}
    return DataFreeDistillation(small("student"), small("teacher"), **options)
