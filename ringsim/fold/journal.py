"""The input journal: a private ring in shared memory, with one writer and one reader, the stage itself.

Invariant: an input is whole in the journal, and the journal's head says so, before it is folded and before its ring slot
is released. So whoever continues after a kill finds every input that may have had an effect, in its order, with its time.

    entry     two words: 8 x seq + stream, now_ns
    market    the record of entry number `position`, if it has one that is a market record: a line of its own
    peer      the peer's record number `seq`: they are few, and so lie side by side

Most inputs are market records, and cost a line and a quarter of memory each.
"""

from typing import NamedTuple

import numpy as np

from ringsim.atomics import store_release
from ringsim.kernel import kernel
from ringsim.records import ACCOUNT, FEATURES, MARKET_EVENT, ORDER, REPORT

MARKET_WORDS = MARKET_EVENT.itemsize // 8
PEER_WORDS = ORDER.itemsize // 8
HEAD = 0  # header word: entries written
_HEADER_WORDS = 16
_STREAM_BITS, _STREAMS = 3, 7
assert MARKET_WORDS == 8 and all(dtype.itemsize == 8 * PEER_WORDS for dtype in (ACCOUNT, FEATURES, REPORT))


class Journal(NamedTuple):
    """mask: entries - 1.

    header: int64[16]. heads: int64[entries * 2]. words, peer_words: the records, int64[entries * MARKET_WORDS] and
    int64[entries * PEER_WORDS]. market, peer, alternate: the same memory as records.
    """

    header: np.ndarray
    heads: np.ndarray
    words: np.ndarray
    peer_words: np.ndarray
    market: np.ndarray
    peer: np.ndarray
    alternate: np.ndarray
    mask: int


def journal_size(entries: int) -> int:
    """Bytes of a journal's memory. entries: a power of two."""
    return 8 * (_HEADER_WORDS + entries * (2 + MARKET_WORDS + PEER_WORDS))


def open_journal(memory: memoryview, entries: int, peer: np.dtype, alternate: np.dtype) -> Journal:
    """A journal over memory of `journal_size(entries)` bytes (zeroed: an empty one). peer, alternate: of 128 bytes."""
    assert entries & (entries - 1) == 0
    words: np.ndarray = np.ndarray(journal_size(entries) // 8, np.int64, memory)
    header, market, peers, heads = np.split(
        words, np.cumsum([_HEADER_WORDS, entries * MARKET_WORDS, entries * PEER_WORDS])
    )

    def records(words: np.ndarray, dtype: np.dtype) -> np.ndarray:
        return words.view(dtype).view(np.recarray)

    return Journal(
        header,
        heads,
        market,
        peers,
        records(market, MARKET_EVENT),
        records(peers, peer),
        records(peers, alternate),
        entries - 1,
    )


@kernel(inline=True)
def market_slot(journal, position):
    """First word, in `words`, of the market record of entry number `position`."""
    return (position & journal.mask) * MARKET_WORDS


@kernel(inline=True)
def peer_slot(journal, seq):
    """First word, in `peer_words`, of the peer's record number `seq`."""
    return (seq & journal.mask) * PEER_WORDS


@kernel(inline=True)
def journal_commit(journal, position, stream, seq, now):
    """Close the entry number `position`: from here on the input has happened. seq: >= 0. stream: 0..7."""
    base = (position & journal.mask) * 2
    journal.heads[base] = (seq << _STREAM_BITS) | stream
    journal.heads[base + 1] = now
    store_release(journal.header, HEAD, position + 1)


@kernel(inline=True)
def entry_stream(journal, position):
    """Stream of the entry number `position`; of ingest's journal the kind of its input."""
    return journal.heads[(position & journal.mask) * 2] & _STREAMS


@kernel(inline=True)
def entry_seq(journal, position):
    """Number of its record in its stream."""
    return journal.heads[(position & journal.mask) * 2] >> _STREAM_BITS


@kernel(inline=True)
def entry_now(journal, position):
    """Time at which it was taken, ns."""
    return journal.heads[(position & journal.mask) * 2 + 1]
