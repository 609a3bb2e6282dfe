"""Where a fold puts what it emits: a few records in private memory, published by the worker after the fold.

A fold never writes to a ring: what it emits is checked for room before the input is taken, and on a redo it is compared
with what was published instead of being published again.
"""

from typing import NamedTuple

import numpy as np

from ringsim.kernel import kernel


class Outbox(NamedTuple):
    """records: recarray[n]. alternate: the same memory read as the ring's second record type. words: int64[n * width].

    count: int64[1], records so far.
    """

    records: np.ndarray
    alternate: np.ndarray
    words: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # shadows tuple.count, which nobody calls


def make_outbox(dtype: np.dtype, alternate: np.dtype, size: int) -> Outbox:
    """An empty outbox for `size` records of two dtypes of one size."""
    assert dtype.itemsize == alternate.itemsize
    words = np.zeros(size * dtype.itemsize // 8, np.int64)
    return Outbox(
        words.view(dtype).view(np.recarray), words.view(alternate).view(np.recarray), words, np.zeros(1, np.int64)
    )


@kernel
def outbox_next(out):
    """Index of a fresh, zeroed record; the caller has been promised that there is room."""
    index = out.count[0]
    width = out.words.size // out.records.size
    for k in range(index * width, (index + 1) * width):
        out.words[k] = 0
    out.count[0] = index + 1
    return index


@kernel
def outbox_clear(out):
    """Forget what it holds."""
    out.count[0] = 0
