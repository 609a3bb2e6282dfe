"""The input journal: what was put down is found again, by whoever continues, and nothing else is touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.fold.journal import (
    HEAD,
    MARKET_WORDS,
    PEER_WORDS,
    entry_now,
    entry_seq,
    entry_stream,
    journal_commit,
    journal_size,
    market_slot,
    open_journal,
    peer_slot,
)
from ringsim.fold.positions import LOST, MARKET, PEER, TIMER
from ringsim.records import ACCOUNT, NEVER_NS, REPORT

ENTRIES = 8


@pytest.fixture
def memory():
    return memoryview(bytearray(journal_size(ENTRIES)))


@given(
    st.lists(
        st.tuples(st.sampled_from([MARKET, PEER, TIMER, LOST]), st.integers(0, NEVER_NS)),
        min_size=1,
        max_size=3 * ENTRIES,
    ),
    st.integers(0, 2**58),
)
def test_the_last_entries_are_there_for_whoever_opens_it_again(inputs, first):
    """As many as it holds, each with its record, however market and peer take turns; the sequences may be anywhere."""
    memory = memoryview(bytearray(journal_size(ENTRIES)))
    journal, put = open_journal(memory, ENTRIES, REPORT, ACCOUNT), []
    seqs = {MARKET: first, PEER: 3 * first, TIMER: 0, LOST: first}
    for position, (stream, now) in enumerate(inputs):
        seq = seqs[stream]
        seqs[stream] += 1
        if stream == PEER:
            start = peer_slot(journal, seq)
            journal.peer_words[start : start + PEER_WORDS] = position + 1
        else:
            start = market_slot(journal, position)
            journal.words[start : start + MARKET_WORDS] = -position - 1
        journal_commit(journal, position, stream, seq, now)
        put.append((stream, seq, now))
    again = open_journal(memory, ENTRIES, REPORT, ACCOUNT)
    head = int(again.header[HEAD])
    assert head == len(inputs)
    for position in range(max(0, head - ENTRIES), head):
        stream, seq = entry_stream(again, position), entry_seq(again, position)
        assert (stream, seq, entry_now(again, position)) == put[position]
        if stream == PEER:
            assert (again.peer[seq & again.mask].order_id, again.alternate[seq & again.mask].time_ns) == (
                position + 1,
            ) * 2
        else:
            assert again.market[position & again.mask].px_ticks == -position - 1


def test_a_market_record_is_a_line_of_its_own(memory):
    journal = open_journal(memory, ENTRIES, REPORT, ACCOUNT)
    start = journal.words.ctypes.data - journal.header.ctypes.data
    assert start % 64 == 0 and journal.market.itemsize == 64, "the memory itself begins a page"
    assert np.shares_memory(journal.words, journal.market) and np.shares_memory(journal.peer, journal.alternate)
