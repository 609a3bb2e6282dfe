"""What a stage does while it waits: it keeps near what the next input will touch.

Between two ticks of a quiet market lie milliseconds, in which others take the caches: an event costs five times as much as
it does in bulk. A spinning stage has nothing better to do than to touch, a few lines a round, what it is about to write (the
next entries of its journal, the next slots of its output ring) and, line after line, its own state.

A line that another core writes is never touched: that would take it away from its writer.
"""

import numpy as np

from ringsim.atomics import load_acquire, prefetch_read, prefetch_write
from ringsim.book import book_near
from ringsim.fold.journal import PEER_WORDS, market_slot, peer_slot
from ringsim.kernel import kernel
from ringsim.records import MARKET_EVENT, EventKind

AHEAD = 64  # journal entries, or slots, ahead of the next one: a message of that many events finds them near
_LINE = 8  # words
_LINES = 8
_PEERS = 4  # records of the peer that are likely to come at once

_KIND, _KIND_SHIFT = divmod(MARKET_EVENT.fields["kind"][1], 8)  # type: ignore[index]
_SIDE_WORD, _SIDE = divmod(MARKET_EVENT.fields["side"][1], 8)  # type: ignore[index]
assert _SIDE_WORD == _KIND
_KIND_SHIFT, _SIDE_SHIFT = 8 * _KIND_SHIFT, 8 * _SIDE + 1  # sides are 1 and 2: bit 1 tells them apart
_PX = MARKET_EVENT.fields["px_ticks"][1] // 8  # type: ignore[index]
_LEVEL = int(EventKind.LEVEL)


@kernel(inline=True)
def near_journal(journal, position, peer, turn):
    """One of the next entries to be written, and one of the next records of the peer's. peer: number of the next."""
    ahead = position + turn % AHEAD
    prefetch_write(journal.heads, (ahead & journal.mask) * 2)
    prefetch_write(journal.words, market_slot(journal, ahead))
    slot = peer_slot(journal, peer + turn % _PEERS)
    for k in range(0, PEER_WORDS, _LINE):
        prefetch_write(journal.peer_words, slot + k)


@kernel(inline=True)
def near_ring(ring, seq, turn, ahead):
    """One of the next `ahead` slots that this stage will write, but for the very next: readers wait at its stamp."""
    base = ((seq + 1 + turn % ahead) & ring.mask) * ring.width
    for k in range(0, ring.width, _LINE):
        prefetch_write(ring.words, base + k)


@kernel(inline=True)
def near_state(words, turn):
    """Some lines of the state. words: int64[:]."""
    start = (turn * _LINES * _LINE) % words.size
    for k in range(start, min(start + _LINES * _LINE, words.size), _LINE):
        prefetch_read(words, k)


@kernel(inline=True)
def near_level(book, ring, seq):
    """If market record `seq` is there and sets a level: the places in the book that it will touch."""
    base = (seq & ring.mask) * ring.width
    if load_acquire(ring.words, base) == seq + 1:
        word = ring.words[base + _KIND]
        if ((word >> _KIND_SHIFT) & 255) == _LEVEL:
            book_near(book, ((word >> _SIDE_SHIFT) & 1) + 1, ring.words[base + _PX])


def state_words(states: np.ndarray) -> np.ndarray:
    """A stage's state as int64[:], the same memory. states: recarray of one record."""
    return states.view(np.int64, np.ndarray).reshape(-1)
