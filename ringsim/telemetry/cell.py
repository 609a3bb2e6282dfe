"""A latest-value cell: one writer keeps the newest value, any reader takes a whole one or none, and nobody waits.

    word 0: version (odd while being written), words 1..: the value
    write: version <- odd; release fence; words (relaxed); version <-rel even
    read:  version (acq) even; words (relaxed); acquire fence; version unchanged

A writer that died in the middle leaves an odd version; its replacement starts with `mend`.
"""

import numpy as np

from ringsim.atomics import fence_acquire, fence_release, load_acquire, load_relaxed, store_relaxed, store_release
from ringsim.kernel import kernel

_TRIES = 64


@kernel
def write_cell(words, start, value):
    """Store value (int64[:]) in the cell that starts at word `start`."""
    version = words[start]
    store_relaxed(words, start, version + 1)
    fence_release()
    for k in range(value.size):
        store_relaxed(words, start + 1 + k, value[k])
    store_release(words, start, version + 2)


@kernel
def read_cell(words, start, value):
    """Copy the newest whole value. Returns False if none was caught in a bounded number of tries (or none was written)."""
    for _ in range(_TRIES):
        version = load_acquire(words, start)
        if version == 0:
            return False
        if version & 1:
            continue
        for k in range(value.size):
            value[k] = load_relaxed(words, start + 1 + k)
        fence_acquire()
        if load_relaxed(words, start) == version:
            return True
    return False


def mend(words: np.ndarray, start: int) -> None:
    """Make the version even again after a writer died; the value is whatever it had written, until the next write."""
    if int(words[start]) & 1:
        words[start] += 1
