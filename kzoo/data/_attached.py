"""Columns that a function of the user's adds to a batch."""

import numpy as np


class Attached:
    """What `attach` returns, always with the names, dtypes and shapes of its first answer.

    Args:
        attach: function of `(sample_numbers, epoch)`, or a list of such.
        numbers: some sample numbers, to ask for the first time.
        epoch: the epoch to ask for.
    """

    def __init__(self, attach, numbers, epoch):
        self._attach = attach
        columns = self._ask(numbers, epoch)
        self.template = {name: np.zeros_like(column[:0]) for name, column in columns.items()}

    def rows(self, numbers, epoch):
        """A dict of arrays with one row a number."""
        columns = self._ask(numbers, epoch)
        found, expected = _kinds(columns), _kinds(self.template)
        if found != expected:
            raise ValueError(
                "`attach` must always return the same names, dtypes and shapes of a row, at first "
                f"{expected}. Received: {found}"
            )
        return columns

    def _ask(self, numbers, epoch):
        columns = {}
        for attach in functions(self._attach):
            answer = attach(numbers, int(epoch))
            if not isinstance(answer, dict) or not answer:
                raise ValueError(
                    "`attach` must return a dict of name -> array with one row a sample. "
                    f"Received: {type(answer).__name__} from {attach}"
                )
            twice = sorted(map(str, answer.keys() & columns.keys()))
            if twice:
                raise ValueError(f"Two functions of `attach` return a column {twice[0]!r}.")
            columns |= {str(name): np.asarray(column) for name, column in answer.items()}
        for name, column in columns.items():
            if column.shape[:1] != (len(numbers),) or column.dtype.kind not in "biuf":
                raise ValueError(
                    f"`attach` must return numbers with one row a sample, {len(numbers)} here. "
                    f"Received: shape={column.shape}, dtype={column.dtype} for {name!r}"
                )
        return columns


def functions(attach):
    """The functions of an `attach` argument, as a list."""
    return list(attach) if isinstance(attach, list | tuple) else [attach]


def _kinds(columns):
    return {name: (columns[name].dtype.name, columns[name].shape[1:]) for name in sorted(columns)}
