"""The input journal: a private ring in shared memory, with one writer and one reader, the stage itself.

Invariant: an input is whole in the journal, and the journal's head says so, before it is folded and before its ring slot
is released. So whoever continues after a kill finds every input that may have had an effect, in its order, with its time.

    entry: stream, seq, now_ns, spare, then the record (8 or 16 words)
"""

from typing import NamedTuple

import numpy as np

from ringsim.atomics import store_release
from ringsim.kernel import kernel
from ringsim.records import MARKET_EVENT, ORDER

E_STREAM, E_SEQ, E_NOW = 0, 1, 2
RECORD = 4  # first word of the record
ENTRY_WORDS = RECORD + ORDER.itemsize // 8
HEAD = 0  # header word: entries written
_HEADER_WORDS = 16


class Journal(NamedTuple):
    """words: int64[entries * ENTRY_WORDS]. market, peer, alternate: the records of the entries, strided. mask: entries - 1."""

    header: np.ndarray
    words: np.ndarray
    market: np.ndarray
    peer: np.ndarray
    alternate: np.ndarray
    mask: int


def journal_size(entries: int) -> int:
    """Bytes of a journal's memory. entries: a power of two."""
    return 8 * (_HEADER_WORDS + entries * ENTRY_WORDS)


def open_journal(memory: memoryview, entries: int, peer: np.dtype, alternate: np.dtype) -> Journal:
    """A journal over memory of `journal_size(entries)` bytes (zeroed: an empty one)."""
    assert entries & (entries - 1) == 0
    header: np.ndarray = np.ndarray(_HEADER_WORDS, np.int64, memory)
    start = 8 * _HEADER_WORDS

    def records(dtype: np.dtype) -> np.ndarray:
        return np.ndarray(entries, dtype, memory, start + 8 * RECORD, (8 * ENTRY_WORDS,)).view(np.recarray)

    words: np.ndarray = np.ndarray(entries * ENTRY_WORDS, np.int64, memory, start)
    return Journal(header, words, records(MARKET_EVENT), records(peer), records(alternate), entries - 1)


@kernel
def journal_slot(journal, position):
    """First word of the entry number `position`, to be filled."""
    return (position & journal.mask) * ENTRY_WORDS


@kernel
def journal_commit(journal, position, stream, seq, now):
    """Close the entry number `position`: from here on the input has happened."""
    base = (position & journal.mask) * ENTRY_WORDS
    journal.words[base + E_STREAM] = stream
    journal.words[base + E_SEQ] = seq
    journal.words[base + E_NOW] = now
    store_release(journal.header, HEAD, position + 1)
