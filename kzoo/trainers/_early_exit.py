"""Running the segments of a network, each only on the samples that are left."""

import numpy as np


def run_early(segments, x, threshold, batch_size, classes):
    """The probabilities of each sample, and the number of the segment at which it left.

    A segment waits for a full batch. So it runs on full batches all the time, and no more than a
    batch of maps waits before it.

    Args:
        segments: models `x -> (map, probabilities)`, the last `x -> probabilities`.
        x: array of samples.
        threshold: samples leave where the largest probability reaches it.
        batch_size: samples that a segment takes at a time.
        classes: number of classes.
    """
    if not np.ndim(x):
        raise ValueError(f"`x` must be an array of images. Received: {x!r}")
    left_at = np.zeros(len(x), "int64")
    probabilities = np.zeros((len(x), classes), "float32")
    queues = [_Queue() for _ in segments]
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        queues[0].put(np.arange(start, start + len(batch)), batch)
        ends = start + batch_size >= len(x)
        for level, (segment, queue) in enumerate(zip(segments, queues, strict=True)):
            while len(queue) >= batch_size or (ends and len(queue)):
                numbers, samples = queue.take(batch_size)
                found = segment.predict_on_batch(samples)
                sure = found[1] if level + 1 < len(segments) else found
                probabilities[numbers], left_at[numbers] = sure, level
                if level + 1 < len(segments):
                    stay = sure.max(axis=-1) < threshold
                    queues[level + 1].put(numbers[stay], found[0][stay])
    return probabilities, left_at


class _Queue:
    """Samples that wait, with their numbers."""

    def __init__(self):
        self._waiting = []

    def __len__(self):
        return sum(len(numbers) for numbers, _ in self._waiting)

    def put(self, numbers, samples):
        """Append samples."""
        if len(numbers):
            self._waiting.append((numbers, samples))

    def take(self, count):
        """Remove the first samples."""
        numbers, samples = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting = []
        self.put(numbers[count:], samples[count:])
        return numbers[:count], samples[:count]
