"""What a `Distiller` asks of whatever teaches: a model, an ensemble, recorded outputs."""

import math

OUTPUTS = "outputs"


class Teaching:
    """Base of `Teacher`, `TeacherEnsemble` and `TeacherCache`; plain objects to Keras.

    Attributes:
        name: for the names of terms.
        weight: multiplies the losses; `None` for an equal share.
        models: the Keras layers that run and must stay frozen.
        model: the one model that losses may inspect, `None` where there is no such thing.
    """

    name = "teacher"
    weight = None
    models = ()
    model = None

    def build(self, input_shape):
        """Build what is not built, from the shape of the student's inputs."""

    def build_preprocess(self, input_shape):
        """Build what comes before a model, from the shape of the student's inputs."""

    def check_against(self, student):
        """Refuse a student whose inputs do not fit."""

    def prepare(self, names):
        """Get ready to show these taps; returns tap -> shape."""
        raise NotImplementedError

    def read(self, run, batch):
        """Tap -> tensor, and `"outputs"`, without gradient.

        Args:
            run: `run(model, inputs, batch_statistics=False)` calls a frozen model.
            batch: a `Batch`.
        """
        raise NotImplementedError

    def differentiable(self, inputs, names):
        """Tap -> tensor, with gradients by the inputs."""
        raise ValueError(
            f"{type(self).__name__} cannot be asked about new inputs, which a loss wants to do. "
            "Give the Distiller the teacher's model itself."
        )

    def models_to_build(self):
        """The models whose build state decides when the distiller can be prepared."""
        return [self.model] if self.model is not None else []


def check_weight(weight):
    """Refuse a weight of a teacher that is neither `None` nor a finite number > 0."""
    if weight is None:
        return None
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not 0 < weight < math.inf:
        raise ValueError(
            f"`weight` of a teacher must be a finite number > 0. Received: weight={weight!r}"
        )
    return weight
