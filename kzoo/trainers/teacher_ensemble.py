"""Several models that teach as one."""

import math

import keras
from keras import ops

from kzoo.trainers._teaching import OUTPUTS, Teaching, check_weight
from kzoo.trainers.teacher import Teacher

AVERAGES = ("probabilities", "logits")


@keras.saving.register_keras_serializable(package="kzoo")
class TeacherEnsemble(Teaching):
    """Teaches with the mean prediction of several models.

    Use it where one compact student is to replace an ensemble; that is what soft targets were
    invented for. It shows logits only; to distil features of several models, give the
    `Distiller` a list of teachers instead: then each is compared with the student.

        "probabilities":  logits = log Σ_m w_m softmax(logits_m)
        "logits":         logits = Σ_m w_m logits_m

    Args:
        members: models, or `Teacher`s with preprocessing and classes of their own; all end
            with the student's classes. The weights w_m are those of the members, divided
            by their sum (equal ones where a member has none).
        average: what is averaged, see above.
        weight: multiplies the losses towards the ensemble, see `Teacher`.
        name: for the names of terms.

    Raises:
        ValueError: for fewer than one member, members with other classes than the first, an
            unknown average, and taps other than the logits.

    Example:

    ```python
    import keras
    from kzoo.losses import SoftTargets
    from kzoo.trainers import Distiller, TeacherEnsemble

    def classifier(units):
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
        )

    ensemble = TeacherEnsemble([classifier(16), classifier(32)])
    distiller = Distiller(classifier(2), ensemble, SoftTargets())
    ```
    """

    def __init__(self, members, average="probabilities", weight=None, name="ensemble"):
        members = [m if isinstance(m, Teacher) else Teacher(m) for m in members]
        if not members:
            raise ValueError("`members` must hold at least one model. Received: []")
        if average not in AVERAGES:
            raise ValueError(f"`average` must be one of {AVERAGES}. Received: average={average!r}")
        self.members = members
        self.average = average
        self.weight = check_weight(weight)
        self.name = name
        shares = [1.0 if m.weight is None else m.weight for m in members]
        self.shares = [share / sum(shares) for share in shares]

    @property
    def models(self):
        """The frozen parts of all members."""
        return [model for member in self.members for model in member.models]

    def models_to_build(self):
        """All members."""
        return [member.model for member in self.members]

    def build(self, input_shape):
        """Build the members that are not."""
        for member in self.members:
            member.build(input_shape)

    def build_preprocess(self, input_shape):
        """Build what comes before the members."""
        for member in self.members:
            member.build_preprocess(input_shape)

    def check_against(self, student):
        """Refuse members whose inputs do not fit the student's."""
        for member in self.members:
            member.check_against(student)

    def prepare(self, names):
        """Get ready; the only tap is `"logits"`."""
        other = [name for name in names if name not in ("logits", OUTPUTS)]
        if other:
            raise ValueError(
                f"An ensemble shows logits only. Received: the tap {other[0]!r}. Give the "
                "Distiller the list of models to distil features of each."
            )
        shapes = [member.prepare(["logits"])["logits"] for member in self.members]
        if len(set(shapes)) > 1:
            raise ValueError(
                "The members of an ensemble must have the same classes; Teacher(model, "
                f"classes=...) maps them. Received: logits of shapes {shapes}"
            )
        return {"logits": shapes[0]}

    def read(self, run, batch):
        """The mean logits."""
        return self._shown([member.read(run, batch)["logits"] for member in self.members])

    def differentiable(self, inputs, names):
        """The mean logits as a function of the inputs."""
        return self._shown(
            [member.differentiable(inputs, ["logits"])["logits"] for member in self.members]
        )

    def _shown(self, logits):
        logits = [ops.cast(one, "float32") for one in logits]
        if self.average == "logits":
            mean = sum(w * one for w, one in zip(self.shares, logits, strict=True))
        else:
            logs = [
                ops.log_softmax(one) + math.log(w)
                for w, one in zip(self.shares, logits, strict=True)
            ]
            mean = ops.logsumexp(ops.stack(logs), axis=0)
        return {"logits": mean, OUTPUTS: mean}

    def get_config(self):
        """The constructor's arguments."""
        return {
            "members": [keras.saving.serialize_keras_object(m) for m in self.members],
            "average": self.average,
            "weight": self.weight,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        members = [keras.saving.deserialize_keras_object(m) for m in config["members"]]
        return cls(**{**config, "members": members})
