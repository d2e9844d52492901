"""The base of trainers of several heads on a shared trunk."""

from kzoo.trainers._batch import Batch
from kzoo.trainers._classifiers import Classifiers
from kzoo.trainers._configured import Configured
from kzoo.trainers._tree import Tree, planted


class Heads(Configured, Classifiers):
    """Keeps a tree of segments, shows what each head predicts, and hands out plain models.

    Args:
        model_builder: makes the models that the tree is cut from.
        trunk: instead of it, the model that all heads read.
        heads: the models that read it.
        num_heads: branches at each split.
        split: taps at which the models of the builder are cut.
        **kwargs: those of `keras.Model`.
    """

    def __init__(self, model_builder, trunk, heads, num_heads, split, **kwargs):
        trunk, heads = planted(model_builder, trunk, heads, num_heads, split)
        tree = Tree(trunk, heads)
        kwargs.setdefault("dtype", trunk.dtype_policy)
        super().__init__((*tree.names, "ensemble"), **kwargs)
        self.trunk, self.heads = trunk, list(heads)
        # Hidden, so that Keras does not track the layers a second time.
        self._hidden.tree = tree
        self._hidden.classifiers = tree.models()
        self.built = True

    def build(self, input_shape=None):
        """The segments are built already."""

    def scores(self, inputs):
        """The outputs of each head, and of the mean of their logits."""
        tree = self._hidden.tree
        return tree.scores(tree.read(Batch.of(inputs).inputs, False))

    @property
    def classifiers(self):
        """For each head a plain model from the inputs to it, as it was before it was cut."""
        return dict(self._hidden.classifiers)
