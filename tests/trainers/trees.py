"""Trees of linear segments, in Keras and in NumPy, that the tests of heads on a trunk share."""

import keras
import numpy as np

from tests.trainers.models import CLASSES

X = np.array([[1.0, 0.5], [2.0, -1.0], [-1.0, 0.3], [0.5, 2.0]])
Y = np.array([0, 2, 1, 0])
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def weights(*counts, seed=0):
    """Of a trunk and `counts` branches at each split: `(weights, [...])` down to matrices."""
    random = np.random.default_rng(seed)

    def below(level):
        if level == len(counts):
            return random.normal(size=(2, CLASSES))
        return random.normal(size=(2, 2)), [below(level + 1) for _ in range(counts[level])]

    return below(0)


def segment(kernel, name, softmax=False):
    start = keras.initializers.Constant(np.array(kernel, "float32"))
    layer = keras.layers.Dense(
        kernel.shape[1], use_bias=False, kernel_initializer=start, name=f"{name}_dense"
    )
    inputs = keras.Input((kernel.shape[0],))
    outputs = layer(inputs)
    if softmax:
        outputs = keras.layers.Softmax(name=f"{name}_softmax")(outputs)
    return keras.Model(inputs, outputs, name=name)


def tree(given, softmax=False, name="trunk"):
    """The arguments `trunk` and `heads` of a trainer."""
    kernel, children = given
    heads = [
        tree(child, softmax, f"{name}_{number}")
        if isinstance(child, tuple)
        else segment(child, f"{name}_{number}", softmax)
        for number, child in enumerate(children)
    ]
    return {"trunk": segment(kernel, name), "heads": heads}


def kernels(given):
    """All matrices of a tree in NumPy, in order."""
    if not isinstance(given, tuple):
        return [given]
    kernel, children = given
    return [kernel, *(found for child in children for found in kernels(child))]


def trained(trainer):
    """The same of a trainer."""

    def of(node):
        if not isinstance(node, dict):
            return [keras.ops.convert_to_numpy(node.weights[0])]
        return [*of(node["trunk"]), *(found for head in node["heads"] for found in of(head))]

    return of({"trunk": trainer.trunk, "heads": trainer.heads})


def eager():
    return keras.backend.backend() == "tensorflow"


def logits(given, x):
    """The logits of all heads."""
    if not isinstance(given, tuple):
        return [x @ given]
    kernel, children = given
    return [found for child in children for found in logits(child, x @ kernel)]


def gradients(given, x, by_logits, rescale):
    """Gradients by the matrices, in order, from those by the logits; and the one by `x`."""
    if not isinstance(given, tuple):
        found = next(by_logits)
        return [x.T @ found], found @ given.T
    kernel, children = given
    further, back = [], 0.0
    for child in children:
        own, found = gradients(child, x @ kernel, by_logits, rescale)
        further, back = further + own, back + found
    back = back / len(children) if rescale else back
    return [x.T @ back, *further], back @ kernel.T


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(z):
    return -np.log(softmax(z)[np.arange(len(Y)), Y])


def by_labels(z):
    """The gradient of the mean cross-entropy by the logits."""
    return (softmax(z) - np.eye(CLASSES)[Y]) / len(Y)


def fitted(trainer, rate=0.1, epochs=1, loss=LOSS, **options):
    """The trainer after one step an epoch; its history."""
    optimizer = options.pop("optimizer", None) or keras.optimizers.SGD(rate)
    trainer.compile(optimizer, loss, run_eagerly=eager())
    x = X.astype("float32")
    return trainer.fit(
        x, Y, batch_size=len(x), epochs=epochs, shuffle=False, verbose=0, **options
    ).history


def check_step(trainer, given, by_logits, rescale, rate=0.1):
    """One step moves all segments as NumPy says; its history."""
    history = fitted(trainer, rate)
    expected, _ = gradients(given, X, iter(by_logits), rescale)
    for found, start, gradient in zip(trained(trainer), kernels(given), expected, strict=True):
        np.testing.assert_allclose(found, start - rate * gradient, rtol=1e-5, atol=1e-6)
    return history
