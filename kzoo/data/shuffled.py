"""Every image once an epoch, in random order."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """Every image once an epoch, in an order of its own.

    Use it where a sampler is asked for and the usual order will do: `sampler=Shuffled()`
    gives the batches of `shuffle=True`, bit for bit.

    The order is a permutation that the generator of the epoch draws uniformly.

    Example:

    ```python
    from kzoo import data

    digits = data.load("digits")
    shuffled = digits.sequence("train", 64, sampler=data.Shuffled(), seed=1)
    same = digits.sequence("train", 64, shuffle=True, seed=1)
    print((shuffled[0][0] == same[0][0]).all())  # True
    ```
    """

    def order(self, labels, batch_size, generator):
        """The positions of the images of one epoch.

        Args:
            labels: of the split, in its fixed order.
            batch_size: images a batch.
            generator: the `np.random.Generator` of the epoch.
        """
        return generator.permutation(len(labels))
