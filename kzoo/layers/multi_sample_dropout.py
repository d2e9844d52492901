"""MultiSampleDropout: several dropout masks in front of one shared classifier."""

import keras
from keras import ops

from kzoo.layers._arguments import fraction
from kzoo.layers._noise import inverted_mask
from kzoo.registry import register


def _tiny():
    return {"head": keras.layers.Dense(3, name="head"), "num_samples": 3, "seed": 1}


@register(
    "layer",
    paper="arXiv:1905.09788",
    tiny={"args": _tiny, "input_shape": (4, 6)},
    training="noise",
    rank=2,
    losses=1,
)
class MultiSampleDropout(keras.Layer):
    """Classifier that is trained on the mean loss over several dropout masks.

    Use it in place of `Dropout` and the last `Dense` of a classifier: training needs
    fewer iterations, and only the small head is computed several times.

    Reference:
        Inoue. "Multi-Sample Dropout for Accelerated Training and Better
        Generalization". 2019. arXiv:1905.09788.

    The paper minimises the mean of M softmax cross-entropies, one for each mask, with
    logits z_m. For any labels y that sum to 1, soft ones included,

        mean_m CE(y, z_m) = CE(y, mean_m z_m)
                            + mean_m logsumexp(z_m) - logsumexp(mean_m z_m),

    so in training the layer returns the mean logits and adds the second line, which needs
    no labels and is never negative, with `add_loss`. A plain `compile` and `fit` with
    softmax cross-entropy on these logits then minimises the paper's loss exactly. To
    average the logits without that term is another objective, a lower bound of it.
    Inference: `head(inputs)`, one pass without dropout, and nothing is added.

    The sum is exact for `CategoricalCrossentropy(from_logits=True)` or its sparse form,
    also with label smoothing, with the default reduction and without sample or class
    weights and loss weights: an added loss is averaged over the batch and cannot see
    those weights. Follow the layer with a softmax, or use `from_logits=True`.

    Args:
        head: a layer or model from features to logits, without softmax. It keeps its own
            dtype policy, which is that of the output: give it `dtype="float32"` in a
            model of mixed precision.
        num_samples: M, the number of masks.
        rate: probability that a feature is dropped, in [0, 1).
        seed: an integer or `None`.
        **kwargs: of the base layer, such as `name` and `dtype`.

    Call arguments:
        inputs: a tensor of features.
        training: whether to use dropout and add the loss.

    Input shape:
        `(batch, features)`, or what `head` takes.

    Output shape:
        That of `head`, for example `(batch, classes)`.

    Raises:
        ValueError: for a head that is no layer or ends in a softmax, fewer than one
            sample, or a rate outside [0, 1).

    Example:

    ```python
    import keras
    import kzoo

    features = keras.Input((64,))
    head = keras.layers.Dense(10, name="head")
    logits = kzoo.layers.MultiSampleDropout(head, num_samples=8, rate=0.5)(features)
    model = keras.Model(features, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.fit(keras.ops.ones((8, 64)), keras.ops.zeros((8,)), verbose=0)
    ```

    The paper also flips and shifts the features for more variety; this layer does not.
    """

    def __init__(self, head, num_samples=8, rate=0.5, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(num_samples, int) or num_samples < 1:
            raise ValueError(
                f"`num_samples` must be a positive integer. Received: num_samples={num_samples!r}"
            )
        self.head = _checked_head(head)
        self.num_samples = num_samples
        self.rate = fraction(rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Build the head."""
        if not self.head.built:
            self.head.build(input_shape)

    def call(self, inputs, training=None):
        """Return the mean logits; in training add the rest of the mean loss."""
        if not training:
            return self.head(inputs, training=False)
        logits = self._sampled_logits(inputs)
        wide = ops.cast(logits, "float32")
        self.add_loss(_jensen_gap(wide))
        return ops.cast(ops.mean(wide, axis=0), logits.dtype)

    def compute_output_shape(self, input_shape):
        """The shape of the head's output."""
        return self.head.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs, training=None):
        """Shape and dtype of the head's output."""
        return self.head.compute_output_spec(inputs)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
            "num_samples": self.num_samples,
            "rate": self.rate,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """Restore the head, then the layer."""
        head = keras.saving.deserialize_keras_object(config["head"])
        return cls(**{**config, "head": head})

    def _sampled_logits(self, inputs):
        """Logits `(num_samples, batch, ..., classes)` from one pass of the head."""
        repeats = (self.num_samples,) + (1,) * (len(inputs.shape) - 1)
        tiled = ops.tile(inputs, repeats)
        mask = inverted_mask(ops.shape(tiled), self.rate, self.seed_generator)
        logits = self.head(tiled * ops.cast(mask, tiled.dtype), training=True)
        shape = (self.num_samples, ops.shape(inputs)[0], *ops.shape(logits)[1:])
        return ops.reshape(logits, shape)


def _jensen_gap(logits):
    """Mean over the batch of mean_m logsumexp(z_m) - logsumexp(mean_m z_m).

    It does not change where a sample's logits are shifted together, so their largest is
    taken off first: a common offset then costs no precision.
    """
    logits = logits - ops.stop_gradient(ops.max(logits, axis=(0, -1), keepdims=True))
    of_samples = ops.mean(ops.logsumexp(logits, axis=-1), axis=0)
    return ops.mean(of_samples - ops.logsumexp(ops.mean(logits, axis=0), axis=-1))


def _checked_head(head):
    if not isinstance(head, keras.Layer):
        raise ValueError(
            "`head` must be a Keras layer or model that gives logits, for example "
            f"keras.layers.Dense(10). Received: head={head!r}"
        )
    if isinstance(head, keras.layers.Dense) and head.activation is keras.activations.softmax:
        raise ValueError(
            "`head` must give logits, but it ends in a softmax. Take the activation out and "
            f"put a softmax after this layer. Received: head={head.name}"
        )
    return head
