"""How maps flow through a model: its stem, the ends of its stages, its global pooling."""

import itertools

import keras

from kzoo.taps._source import ACTIVATIONS

# Sizes shrink by two or more at a reduction, by less at a convolution without padding.
REDUCTION = 1.6


class Flow:
    """The events of a trace as a graph of maps.

    A *cut* is an event through which everything later sees the input: no map that was made
    before it is read after it. Stages end at cuts, so never inside a block. Layers that are no
    models count as one event each. Where a subclassed model combines tensors outside of any
    layer, the result is taken to depend on all tensors that nothing has read yet.

    Args:
        trace: a `Trace`.
    """

    def __init__(self, trace):
        self.events = [
            event
            for event in trace.events
            if event.outputs
            and not event.inner
            and not isinstance(event.operation, keras.Model)
            and not any(event.outputs[0] is read for read in event.inputs)
        ]
        self.readers = [[] for _ in self.events]
        self._connect({id(tensor) for tensor in trace.inputs})
        self.cuts = self._cuts()

    def _connect(self, inputs):
        made_by = {}
        for i, event in enumerate(self.events):
            for tensor in event.inputs:
                if id(tensor) in made_by:
                    self.readers[made_by[id(tensor)]].append(i)
                elif id(tensor) not in inputs:
                    unread = [j for j in range(i) if not self.readers[j]]
                    for j in unread or range(max(i - 1, 0), i):
                        self.readers[j].append(i)
            made_by.update({id(tensor): i for tensor in event.outputs})

    def _cuts(self):
        cuts, reach = set(), 0
        for i, event in enumerate(self.events):
            if reach <= i:
                cuts.add(i)
            if len(event.shape) == 4:
                reach = max(reach, *self.readers[i], 0)
        return cuts

    def pooled(self):
        """The event of the global pooling, `None` where there is none.

        It makes vectors (or maps of size 1) with as many channels as what it reads, and no larger
        map follows: that leaves out squeeze-and-excitation.
        """
        spatial = [i for i, event in enumerate(self.events) if _area(event.shape) > 1]
        for i in sorted(self.cuts):
            event = self.events[i]
            before = tuple(event.inputs[0].shape) if event.inputs else ()
            if len(before) == 4 and i > max(spatial, default=-1):
                squeezes = len(event.shape) == 2 and event.shape[-1] == before[-1]
                if squeezes or "Global" in event.kind:
                    return event
        return None

    def stages(self):
        """Name -> event of the stem and of the ends of the stages."""
        weighted = [i for i, event in enumerate(self.events) if _has_kernel(event)]
        if not weighted:
            return {}
        stem = self._stem(weighted[0])
        ends = self._ends(weighted)
        if len(ends) > 1 and ends[0] == stem and self._belongs_to_stem(weighted[0], stem):
            ends = ends[1:]
        named = {f"stage{n}": self.events[i] for n, i in enumerate(ends, start=1)}
        return {"stem": self.events[stem], **named}

    def _ends(self, weighted):
        """Positions of the last cuts before each reduction and before the global pooling."""
        pooled = self.pooled()
        stop = len(self.events) if pooled is None else self.events.index(pooled)
        cuts = [
            i
            for i in sorted(self.cuts)
            if weighted[0] <= i < stop
            and len(self.events[i].shape) == 4
            and not _pads(self.events[i])
        ]
        ends = []
        for i, j in itertools.pairwise(cuts):
            if self._ratio(i, j) >= REDUCTION:
                ends += [i, *self._uncut(i, j)]
        ends += cuts[-1:]
        starts = [-1, *ends[:-1]]
        return [
            end
            for start, end in zip(starts, ends, strict=True)
            if any(start < i <= end for i in weighted)
        ]

    def _uncut(self, i, j):
        """One map for each size between those of two neighbouring cuts.

        Cells that read the two before them (NASNet) leave no cut. There a stage ends with the map
        from which most is read among those that a reduction reads.
        """
        sizes = {}
        for k in range(i + 1, j):
            event = self.events[k]
            if len(event.shape) == 4 and not _pads(event) and self._ratio(i, k) >= REDUCTION:
                reduced = self._ratio(k, j) >= REDUCTION and any(
                    self._ratio(k, reader) >= REDUCTION
                    for reader in self._read_by(k)
                    if len(self.events[reader].shape) == 4
                )
                if reduced:
                    sizes.setdefault(event.shape[1:3], []).append(k)
        return sorted(max(ks, key=lambda k: (len(self._read_by(k)), k)) for ks in sizes.values())

    def _stem(self, i):
        """The first convolution with the normalisation and activation that follow it."""
        while len(self.readers[i]) == 1:
            reader = self.events[self.readers[i][0]]
            if "Normalization" not in reader.kind and reader.kind not in ACTIVATIONS:
                break
            i = self.readers[i][0]
        return i

    def _belongs_to_stem(self, first, stem):
        """Whether a strided convolution and a pooling make up the stem, as in ImageNet nets."""
        event = self.events[first]
        strided = _ratio(event.inputs[0].shape, event.shape) >= REDUCTION
        return strided and not any(_has_kernel(self.events[i]) for i in self._read_by(stem))

    def _read_by(self, i):
        """Positions of the readers of an event, through padding."""
        found = []
        for j in self.readers[i]:
            found += self._read_by(j) if _pads(self.events[j]) else [j]
        return found

    def _ratio(self, i, j):
        return _ratio(self.events[i].shape, self.events[j].shape)


def _ratio(before, after):
    return max(b / max(a, 1) for b, a in zip(before[1:3], after[1:3], strict=True))


def _area(shape):
    return shape[1] * shape[2] if len(shape) == 4 else 0


def _pads(event):
    return "Pad" in event.kind


def _has_kernel(event):
    """Whether an event learns to combine channels or neighbours (normalisation does not)."""
    layer = isinstance(event.operation, keras.layers.Layer) and len(event.shape) == 4
    plain = "Normalization" in event.kind or event.kind in ACTIVATIONS
    return layer and not plain and bool(event.operation.weights)
