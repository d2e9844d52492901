"""Cosine cycles that divide a training of any length."""

import bisect
import math


class Cycles:
    """`count` cycles over `steps` steps; cycle k ends after step round(k · steps / count).

    Args:
        steps: steps of the whole training.
        count: number of cycles, at most `steps`.
    """

    def __init__(self, steps, count):
        # Whole numbers: the last end is exactly `steps`.
        self.ends = [(2 * k * steps + count) // (2 * count) for k in range(1, count + 1)]

    def ended(self, done):
        """How many cycles have ended after that many steps."""
        return bisect.bisect_right(self.ends, done)

    def rate(self, highest, done):
        """The learning rate of the step that follows that many steps."""
        number = min(self.ended(done), len(self.ends) - 1)
        start = self.ends[number - 1] if number else 0
        position = (done - start) / (self.ends[number] - start)
        return highest / 2 * (math.cos(math.pi * position) + 1)
