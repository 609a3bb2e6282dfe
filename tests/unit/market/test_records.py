"""A source of market events: kept and replayed as it is, or refused with the message that no feed may send."""

import numpy as np
import pytest

from ringsim.errors import BadInput
from ringsim.market.binance import MessageKind
from ringsim.market.capture import prepare
from ringsim.market.events import make_events
from ringsim.market.feed import feed_snapshot, fold_capture
from ringsim.market.records import keep_records
from ringsim.market.scan import word64
from ringsim.market.source import sample_path
from ringsim.records import MARKET_EVENT, EventFlag, EventKind
from ringsim.units import Instrument
from tests.unit.market.captures import book_of
from tests.unit.market.kernels import word_at

COIN = Instrument("BTCUSDT", "0.01", "0.00001", "spot")
LAST = int(EventFlag.LAST)
LEVEL, TRADE, BEGIN, END = (
    int(k) for k in (EventKind.LEVEL, EventKind.TRADE, EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END)
)


def kept(key, events, parts=1):
    def fill(writer):
        ends = np.flatnonzero(events["flag_bits"] & LAST) + 1
        cuts = ends[:: max(1, len(ends) // parts)] if parts > 1 else []
        for part in np.split(events, cuts):
            writer.add(part)
        writer.finish(COIN, [])

    return keep_records(key, fill)


def events_of(*rows):
    """rows: (exch, recv, kind, side, px, qty, flags)."""
    found = np.zeros(len(rows), MARKET_EVENT)
    for row, (exch, recv, kind, side, px, qty, flags) in zip(found, rows, strict=True):
        row["exch_ns"], row["recv_ns"], row["kind"], row["side"] = exch, recv, kind, side
        row["px_ticks"], row["qty_lots"], row["flag_bits"] = px, qty, flags
    return found


@pytest.mark.parametrize("parts", [1, 7])
def test_events_are_replayed_as_they_are(parts):
    original, state = fold_capture(prepare([sample_path()]))
    original = original[:-1]
    capture = kept(f"replayed{parts}", np.asarray(original), parts)
    again, state_again = fold_capture(capture)
    names = [n for n in MARKET_EVENT.names if n not in ("stamp", "pad", "source_seq")]
    for name in names:
        assert np.array_equal(again[:-1][name], original[name]), name
    assert book_of(state_again[0]) == book_of(state[0]) and state_again[0].book.valid == 1
    # A message is what ended with LAST: those of the capture that said nothing are gone.
    counts = state_again[0].counts.messages
    assert counts.sum() == (original.flag_bits & LAST != 0).sum() == len(capture.index)
    assert counts[MessageKind.SNAPSHOT] == 1 and capture.meta.counts["trade"] == counts[MessageKind.TRADE]
    assert (
        again[:-1].source_seq.tolist() == (np.cumsum(original.flag_bits & LAST) - (original.flag_bits & LAST)).tolist()
    )


def test_who_lost_the_book_gets_it_from_such_a_source_too():
    capture = kept("snapshot", events_of((1, 2, BEGIN, 0, 0, 0, 0), (1, 2, LEVEL, 1, 9, 5, 0), (1, 2, LEVEL, 2, 11, 6, 0),
                                         (1, 2, END, 0, 0, 0, LAST)))  # fmt: skip
    events, state = fold_capture(capture)
    out = make_events()
    assert feed_snapshot(state[0], out, 0) == 0
    said = out.records[: out.count[0]].view(np.recarray)
    assert (said.flag_bits & EventFlag.REFRESH).all() and said[-1].flag_bits & LAST
    assert sorted(said.px_ticks.tolist()) == [0, 0, 9, 11] and len(events) == 5


GOOD = ((5, 6, TRADE, 1, 9, 5, LAST), (7, 8, TRADE, 1, 9, 5, LAST))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (((5, 6, TRADE, 1, 9, 5, LAST), (6, 5, TRADE, 1, 9, 5, LAST)), "message 1 is received before the one ahead"),
        (((5, 6, TRADE, 1, 9, 5, LAST), (4, 6, TRADE, 1, 9, 5, LAST)), "message 1 happens before the one ahead"),
        (((5, 5, TRADE, 1, 9, 5, LAST),), "message 0 is received before it happened"),
        (((5, 6, TRADE, 1, -9, 5, LAST),), "message 0 has a price out of range"),
        (((5, 6, TRADE, 1, 9, 1 << 50, LAST),), "message 0 has a quantity out of range"),
        ((*GOOD, (9, 10, LEVEL, 1, 9, 5, 0)), "message 2 has no end"),
        (((5, 6, BEGIN, 0, 0, 0, LAST),), "message 0 is of no kind"),
        (((5, 6, BEGIN, 0, 0, 0, 0), (5, 6, LEVEL, 1, 9, 5, LAST)), "message 0 is of no kind"),
        (((5, 6, EventKind.CONTROL, 0, 0, 0, LAST),), "message 0 is of no kind"),
        ((), "holds no market event"),
    ],
)
def test_what_no_feed_may_send_is_refused(rows, said):
    with pytest.raises(BadInput, match=said):
        kept("bad", events_of(*rows))


def test_a_word_of_a_text():
    text = np.frombuffer(np.array([-5, 2**40 + 3], "<i8").tobytes(), np.uint8)
    assert [word_at(text, k) for k in (0, 8)] == [word64(text, k) for k in (0, 8)] == [-5, 2**40 + 3]
