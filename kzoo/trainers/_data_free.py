"""The base of methods that train a student without data: each step draws its own images."""

import keras
import numpy as np
from keras import ops

from kzoo.losses._arguments import check_integer
from kzoo.trainers._configured import Configured
from kzoo.trainers._terms import batch_size as samples_in
from kzoo.trainers.trainer import Trainer

DRAW = "draw"
_DATA = ("sample_weight", "class_weight", "validation_split", "batch_size")


class DataFree(Configured, Trainer):
    """A trainer of a student whose `fit` takes no training data.

    The `x` of a training step is `{"draw": zeros}`, of which the length alone matters: it says
    how many images to draw. There are no labels, so what was compiled, loss and metrics, is
    shown by `evaluate` and validation alone.

    Args:
        student: the model that comes out.
        teacher: a frozen model.
        source: what draws the images, see `image_source`.
        batch_size: images in a batch.
        steps_per_epoch: batches in an epoch.
        seed: of what is drawn.
        **kwargs: those of `keras.Model`.
    """

    # Recipes ask for it: `fit` is given no images.
    data_free = True

    def __init__(self, student, teacher, source, batch_size, steps_per_epoch, seed, **kwargs):
        kwargs.setdefault("dtype", student.dtype_policy)
        super().__init__(**kwargs)
        self.student, self._hidden.teacher = student, teacher
        self.freeze(teacher)
        self.batch_size = check_integer("batch_size", batch_size, low=2)
        self.steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch)
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)
        self.generator = source.generator
        self._hidden.source = source
        if source.pool is not None:
            self.freeze(source.pool)

    @property
    def teacher(self):
        """The frozen model: a property, so that a saved trainer holds it but does not train it."""
        return self._hidden.teacher

    def call(self, inputs, training=None):
        """The student's output."""
        return self.student(inputs, training=training)

    def compute_output_shape(self, input_shape):
        """The student's."""
        return self.student.compute_output_shape(input_shape)

    def draw(self, x, training):
        """The images of a step."""
        return self._hidden.source.draw(samples_in(x), self.noise, training)

    def sample(self, count, seed=None):
        """Images such as the student is trained on, to look at.

        Args:
            count: how many, up to a batch.
            seed: an integer for the same images each time; training draws others all the same.

        Returns:
            A NumPy array `(count, height, width, channels)`, normalised as the teacher's.

        Raises:
            ValueError: for a number that is not between 1 and the size of a batch.
        """
        if not 1 <= check_integer("count", count) <= self.batch_size:
            raise ValueError(
                f"`count` must be at most a batch, {self.batch_size}. Received: count={count}"
            )
        # A whole batch, since images of a generator depend on those beside them.
        images = self._hidden.source.show(self.batch_size, seed)
        return np.array(ops.convert_to_numpy(images)[:count])

    def fit(self, x=None, y=None, *, epochs=1, steps_per_epoch=None, **kwargs):
        """Train on what is drawn.

        Args:
            x: must be left out: a data-free method reads no training data.
            y: must be left out.
            epochs: as in Keras.
            steps_per_epoch: batches in an epoch; those of the constructor by default.
            **kwargs: those of Keras' `fit` that are no training data, among them
                `validation_data`, which is only evaluated on.

        Returns:
            The `History` of Keras.

        Raises:
            ValueError: for training data.
        """
        self._refuse({"x": x, "y": y, **{name: kwargs.pop(name, None) for name in _DATA}})
        steps = self.steps_per_epoch if steps_per_epoch is None else steps_per_epoch
        draws = _draws(check_integer("steps_per_epoch", steps) * self.batch_size)
        options = {**kwargs, "batch_size": self.batch_size, "shuffle": False}
        return super().fit(draws, epochs=epochs, **options)

    def train_on_batch(self, x=None, y=None, *, return_dict=False, **kwargs):
        """Train on one batch that is drawn.

        Args:
            x: must be left out.
            y: must be left out.
            return_dict: as in Keras.
            **kwargs: must be left out.

        Returns:
            As in Keras.

        Raises:
            ValueError: for training data.
        """
        self._refuse({"x": x, "y": y, **kwargs})
        return super().train_on_batch(_draws(self.batch_size), return_dict=return_dict)

    def _refuse(self, data):
        # By name and type alone: data are not touched, not even for the message.
        given = [f"{n} ({type(v).__name__})" for n, v in data.items() if v is not None]
        if given:
            raise ValueError(
                f"{type(self).__name__} trains without data: call fit(epochs=...). Received: "
                f"{', '.join(given)}. The size of a batch is an argument of the constructor; "
                "images to measure on go to validation_data or evaluate()."
            )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' where there are labels; the means of terms in training."""
        if y is not None:
            return super().compute_metrics(x, y, y_pred, sample_weight)
        own = {self._loss_tracker.name, *self._trackers.names}
        return {name: value for name, value in self.get_metrics_result().items() if name in own}

    def get_metrics_result(self):
        """Keras', which asks each metric, without those that no evaluation has built yet."""
        if self._compile_metrics is None or self._compile_metrics.built:
            return super().get_metrics_result()
        known = [metric for metric in self.metrics if metric is not self._compile_metrics]
        return {metric.name: metric.result() for metric in known}

    def export(self, path, **kwargs):
        """Export the student alone.

        Args:
            path: where to.
            **kwargs: those of `kzoo.export.export_model`, for example `format`.
        """
        from kzoo.export import export_model

        return export_model(self.student, path, **kwargs)

    def get_config(self):
        """The constructor's arguments; of given images the shape, they are stored as weights."""
        config, pool = super().get_config(), self._hidden.source.pool
        return config if pool is None else {**config, "images": {"shape": list(pool.shape)}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        images = config["images"]
        if isinstance(images, dict):
            images = np.zeros(images["shape"], "float32")
        return super().from_config({**config, "images": images}, custom_objects)

    def save_own_variables(self, store):
        """Also save given images."""
        super().save_own_variables(store)
        if self._hidden.source.pool is not None:
            self._hidden.source.pool.save(store)

    def load_own_variables(self, store):
        """The inverse of `save_own_variables`."""
        pool = self._hidden.source.pool
        super().load_own_variables(store if pool is None else pool.load(store))

    def _symbolic_build(self, iterator=None, data_batch=None):
        if data_batch is None:
            _, _, data = next(iter(iterator))
            data_batch = data[0] if isinstance(data, list | tuple) else next(data)
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data_batch)
        if y is not None or not isinstance(x, dict) or set(x) != {DRAW}:
            super()._symbolic_build(data_batch=data_batch)
            return
        # Keras would run the model on the draw, and the compiled metrics without labels.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        self._discover(data_batch)
        self._post_build()


def _draws(count):
    return {DRAW: np.zeros((count, 1), "float32")}
