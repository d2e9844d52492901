"""Relations between the samples of a batch, from their Gram matrix alone."""

from keras import ops

from kzoo.losses._arguments import check_batch
from kzoo.losses._features import flat
from kzoo.losses._shapes import check_features


def gram(feature):
    """Inner products of all pairs of samples, `(batch, batch)`, about the mean of the batch.

    Differences between samples do not depend on the mean; without it they keep more digits.
    """
    rows = flat(feature)
    rows = rows - ops.mean(rows, axis=0, keepdims=True)
    return ops.matmul(rows, ops.transpose(rows))


def unlike(batch):
    """1 for each pair of two samples and 0 on the diagonal, `(batch, batch)`."""
    numbers = ops.arange(batch)
    return ops.cast(ops.not_equal(numbers[:, None], numbers[None]), "float32")


def check_relation(name, teacher_shape, student_shape):
    """Refuse features between whose samples no relations can be compared."""
    check_features(name, teacher_shape, student_shape)
    for shape in (teacher_shape, student_shape):
        check_batch(name, shape[0])
