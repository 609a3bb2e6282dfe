"""Two copies of a stage's state, one of them always whole. Protocol P3.

    commit:   good <-rel working copy;  bring the other copy up to it, in full;  work there
    restart:  other = copy of X[good], in full, before anything else;  work in other;  redo the journal from its position

Invariant: the copy that `good` names is never written. So a kill at any instruction, also in the middle of a commit or of
a restart, leaves a whole state and the journal of everything that was taken since.

A copy costs its size (60 us for a book, 300 us from a cold cache): so commits are made before the journal is full, and
once a second, which bounds nothing but what a replacement has to redo: a journal, at 0.1 us an input.
"""

from typing import NamedTuple

import numpy as np

from ringsim.atomics import copy_words, load_acquire, store_release
from ringsim.fold.trap import BEFORE_COMMIT, FLIPPED, HALF_COPY, RESTART_HALF, trap
from ringsim.kernel import kernel

GOOD = 0  # header word: 0 or 1
_HEADER_BYTES = 4096

_NO_INPUTS = np.int64(0)  # a restart's trap waits for none
EVERY_NS = 1_000_000_000


class Copies(NamedTuple):
    """header: int64[512]. states: recarray[2]. words: int64[2, state words], the same memory as `states`."""

    header: np.ndarray
    states: np.ndarray
    words: np.ndarray


def copies_size(dtype: np.dtype) -> int:
    """Bytes of the memory of two copies of a state."""
    return _HEADER_BYTES + 2 * dtype.itemsize


def open_copies(memory: memoryview, dtype: np.dtype) -> Copies:
    """Two copies over memory of `copies_size(dtype)` bytes. dtype: a multiple of 8 bytes."""
    assert dtype.itemsize % 8 == 0
    header: np.ndarray = np.ndarray(_HEADER_BYTES // 8, np.int64, memory)
    states = np.ndarray(2, dtype, memory, _HEADER_BYTES).view(np.recarray)
    words: np.ndarray = np.ndarray((2, dtype.itemsize // 8), np.int64, memory, _HEADER_BYTES)
    return Copies(header, states, words)


def first_state(copies: Copies, state: np.ndarray) -> None:
    """Store a stage's first state, before the stage runs. state: recarray of one record."""
    copies.states[0] = state[0]
    copies.header[GOOD] = 0


@kernel
def resume(copies, control, at):
    """Start or restart: the index of the copy to work in, fresh from the good one. control, at: see fold.trap."""
    good, half = load_acquire(copies.header, GOOD), copies.words.shape[1] // 2
    source, target = copies.words[good], copies.words[1 - good]
    copy_words(target, 0, source, 0, half)
    trap(control, at, RESTART_HALF, _NO_INPUTS)
    copy_words(target, half, source, half, source.size - half)
    return 1 - good


@kernel
def commit(copies, control, at, working, journal_position):
    """Make the working copy the good one. Returns the index of the copy to work in from here on.

    journal_position: inputs that it has folded; traps go by it.
    """
    source, target = copies.words[working], copies.words[1 - working]
    half = source.size // 2
    trap(control, at, BEFORE_COMMIT, journal_position)
    store_release(copies.header, GOOD, working)
    trap(control, at, FLIPPED, journal_position)
    copy_words(target, 0, source, 0, half)
    trap(control, at, HALF_COPY, journal_position)
    copy_words(target, half, source, half, source.size - half)
    return 1 - working
