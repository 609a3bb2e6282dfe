"""What a stage does while it waits: it keeps near what the next input will touch.

Between two ticks of a quiet market lie milliseconds, in which others take the caches: an event costs five times as much as
it does in bulk. A spinning stage has nothing better to do than to touch, a few lines a round, what it is about to write (the
next entries of its journal, the next slots of its output ring) and, line after line, its own state.

A line that another core writes is never touched: that would take it away from its writer.
"""

import numpy as np

from ringsim.atomics import prefetch_read, prefetch_write
from ringsim.fold.journal import ENTRY_WORDS
from ringsim.kernel import kernel

AHEAD = 64  # journal entries, or slots, ahead of the next one: a message of that many events finds them near
_LINE = 8  # words
_LINES = 8


@kernel
def near_journal(journal, position, turn):
    """One of the next entries to be written."""
    base = ((position + turn % AHEAD) & journal.mask) * ENTRY_WORDS
    for k in range(0, ENTRY_WORDS, _LINE):
        prefetch_write(journal.words, base + k)


@kernel
def near_ring(ring, seq, turn, ahead):
    """One of the next `ahead` slots that this stage will write, but for the very next: readers wait at its stamp."""
    base = ((seq + 1 + turn % ahead) & ring.mask) * ring.width
    for k in range(0, ring.width, _LINE):
        prefetch_write(ring.words, base + k)


@kernel
def near_state(words, turn):
    """Some lines of the state. words: int64[:]."""
    start = (turn * _LINES * _LINE) % words.size
    for k in range(start, min(start + _LINES * _LINE, words.size), _LINE):
        prefetch_read(words, k)


def state_words(states: np.ndarray) -> np.ndarray:
    """A stage's state as int64[:], the same memory. states: recarray of one record."""
    return states.view(np.int64).reshape(-1)
