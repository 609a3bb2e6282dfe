"""The ingest fold: messages of a capture in, market events out, with the book's sequence kept or its loss declared.

    index --parse--> depth     in sequence: LEVEL...          stale: counted        ahead: GAP, the book is invalid
                     snapshot  SNAPSHOT_BEGIN LEVEL... (the diffs that came before it and are newer) SNAPSHOT_END
                     trade     TRADE                          bookTicker: QUOTE bid, QUOTE ask

A diff says what changed after update id `before` up to id `last` (spot: U - 1 and u; futures: pu and u). It fits a book at
id L if before <= L < last; quantities are absolute, so an overlap does no harm. last <= L is stale, before > L a gap. That
is one rule for bridging and for what follows, and it implies the venue's own (oracles 3).

Of a session whose events are recorded themselves (market.records, market.normalised) a message is passed on as it stands.

Invariants: a snapshot's end is published only when the diffs that were waiting for it fit; until then nobody's book is
valid. Each message's last event, and no other, carries LAST: what a snapshot brings is one message, however many diffs.
recv_ns and exch_ns never decrease, and exch_ns < recv_ns. Times come from the index, those of records from the records:
this module knows no clock.
Twin: tests/naive/feed.py.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from ringsim.book import BOOK, LOADING, VALID, book_best, book_clear, book_fold, book_near, book_set
from ringsim.kernel import kernel
from ringsim.limits import BOOK_LEVELS
from ringsim.market.binance import MessageKind, make_scratch, parse_message
from ringsim.market.capture import Capture
from ringsim.market.events import make_events
from ringsim.market.instruments import GRID, grid_values
from ringsim.market.jsontext import Parse
from ringsim.market.scan import scan, word64
from ringsim.records import MARKET_EVENT, MARKET_WORDS, ControlCode, EventFlag, EventKind, GapCode, Side

LATENCY_NS = 1_000_000  # from the exchange to us at the least: what is left of recv - E once the skew is removed


class Step(IntEnum):
    """What a feed_step did."""

    DONE = 0  # one message is through, with or without events
    MORE = 1  # a snapshot is still waiting for its diffs: no message boundary
    END = 2  # there was no message left


FEED_PARAMS = np.dtype(
    [
        ("grid", GRID),
        ("futures", "i8"),  # 1: diffs carry pu
        ("skew_ns", "i8"),  # added to E before anything else
        ("latency_ns", "i8"),
        ("symbol", "i8"),
        ("records", "i8"),  # 1: the text holds the events themselves
    ]
)

FEED_COUNTS = np.dtype(
    [
        ("messages", "i8", (len(MessageKind),)),  # by kind, as the index says
        ("bad", "i8"),  # known as bad, or refused by the parser
        ("events", "i8"),
        ("gaps", "i8"),  # diffs that did not follow the one before
        ("stale", "i8"),  # diffs with nothing new: late or duplicate
        ("overlaps", "i8"),  # diffs that repeat a part of the one before
        ("waiting", "i8"),  # diffs that came while there was no valid book
        ("bridged", "i8"),  # of them, published with a snapshot
        ("unbridged", "i8"),  # snapshots that did not reach the diffs that were waiting
        ("unused", "i8"),  # snapshots that came while the book was valid
        ("resyncs", "i8"),  # snapshots that made the book valid again
        ("crossed", "i8"),  # messages after which bid >= ask
        ("trade_gaps", "i8"),
        ("trades_missing", "i8"),
        ("trades_stale", "i8"),
        ("trades_void", "i8"),  # price or quantity 0: the venue fills numbers with them
        ("quotes_stale", "i8"),
        ("cut_lots", "i8"),  # quantities finer than a lot
        ("exch_forced", "i8"),  # exch_ns that had to be held up or pulled down
        ("recv_forced", "i8"),
        ("refreshes", "i8"),
    ]
)

FEED_STATE = np.dtype(
    [
        ("p", FEED_PARAMS),
        ("counts", FEED_COUNTS),
        ("next", "i8"),  # number of the next message
        ("recv_ns", "i8"),  # of the newest event
        ("exch_ns", "i8"),
        ("source_seq", "i8"),
        ("last_id", "i8"),  # L: update id of the book (order-level data: the highest number), 0 before the first
        ("seen_id", "i8"),  # newest update id of any diff, whether it was used or not
        ("fresh", "i8"),  # 1: no diff has followed the snapshot yet
        ("waiting", "i8"),  # number of the first diff that waits for a snapshot, -1 if none
        ("bridge", "i8"),  # in the middle of a snapshot: next message to look at
        ("bridge_end", "i8"),  # and the snapshot's own number
        ("ever_valid", "i8"),
        ("last_trade", "i8"),  # newest trade id, -1 before the first
        ("last_quote", "i8"),  # newest bookTicker's u
        ("controls", "i8"),  # control events so far
        ("book", BOOK),
    ]
)

_OTHER, _DEPTH, _TRADE, _TICKER, _SNAPSHOT, _BAD, _ = (int(k) for k in MessageKind)
_OK = int(Parse.OK)
_DONE, _MORE, _END = (int(c) for c in Step)
_E_LEVEL, _E_TRADE, _E_BEGIN, _E_END, _E_GAP, _E_CONTROL, _E_QUOTE = (
    int(k)
    for k in (
        EventKind.LEVEL,
        EventKind.TRADE,
        EventKind.SNAPSHOT_BEGIN,
        EventKind.SNAPSHOT_END,
        EventKind.GAP,
        EventKind.CONTROL,
        EventKind.QUOTE,
    )
)
_AHEAD = 8  # levels whose places in the book are on their way while one is set
_LAST, _REFRESH, _EXCHANGE_ONLY = int(EventFlag.LAST), int(EventFlag.REFRESH), int(EventFlag.EXCHANGE_ONLY)
_WORDS = MARKET_WORDS
_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_SEQUENCE, _END_OF_FEED = int(GapCode.SEQUENCE), int(ControlCode.END_OF_FEED)


def new_feed(capture: Capture, symbol: int = 0, latency_ns: int = LATENCY_NS) -> np.recarray:
    """The state of a feed that has folded nothing: FEED_STATE recarray[1].

    symbol: 0..MAX_SYMBOLS - 1, for the events. latency_ns: >= 0, of the fastest message.
    """
    state = np.zeros(1, FEED_STATE).view(np.recarray)
    params = state[0].p
    params.grid.px_digits, params.grid.px_units, params.grid.qty_digits, params.grid.qty_units = grid_values(
        capture.meta.instrument
    )
    params.futures, params.skew_ns = int(capture.meta.futures), capture.meta.skew_ns
    params.latency_ns, params.symbol = latency_ns, symbol
    params.records = int(capture.meta.records)
    state[0].waiting, state[0].last_trade, state[0].source_seq = -1, -1, -1
    return state


@kernel
def _emit(s, out, kind, side, px, qty, number, flag_bits, code):
    """One event with the times and the source of the message in hand."""
    e = out.records[out.count[0]]
    e.stamp = 0
    e.exch_ns = s.exch_ns
    e.recv_ns = s.recv_ns
    e.px_ticks = px
    e.qty_lots = qty
    e.id = number
    e.source_seq = s.source_seq
    e.code = code
    e.symbol = s.p.symbol
    e.kind = kind
    e.side = side
    e.flag_bits = flag_bits
    e.pad = 0
    out.count[0] += 1


@kernel
def _levels(s, m, out, last):
    """The parsed levels, as events and into the own book. last: 1 if they end their message."""
    for k in range(min(_AHEAD, m.levels)):
        book_near(s.book, m.level[k, 0], m.level[k, 1])
    for k in range(m.levels):
        if k + _AHEAD < m.levels:
            book_near(s.book, m.level[k + _AHEAD, 0], m.level[k + _AHEAD, 1])
        side, px, qty = m.level[k, 0], m.level[k, 1], m.level[k, 2]
        _emit(s, out, _E_LEVEL, side, px, qty, m.last_id, _LAST if last != 0 and k == m.levels - 1 else 0, 0)
        book_set(s.book, side, px, qty)


@kernel
def _watch_crossed(s):
    bid, ask = book_best(s.book, _BUY), book_best(s.book, _SELL)
    if bid >= ask and ask > 0:
        s.counts.crossed += 1


@kernel
def _times(s, recv_ns, exch_ns):
    """recv_ns, exch_ns of the message in hand. exch_ns: its E, 0 if it has none."""
    if recv_ns < s.recv_ns:
        s.counts.recv_forced += 1
        recv_ns = s.recv_ns
    s.recv_ns = recv_ns
    if exch_ns == 0:
        s.exch_ns = max(s.exch_ns, recv_ns - max(s.p.latency_ns, 1))
        return
    wanted = exch_ns + s.p.skew_ns - s.p.latency_ns
    s.exch_ns = max(min(wanted, recv_ns - 1), s.exch_ns)
    s.counts.exch_forced += wanted != s.exch_ns


@kernel
def _gap(s, number, out):
    """The book is lost; diffs from message `number` on wait for a snapshot."""
    _emit(s, out, _E_GAP, 0, 0, 0, s.seen_id, _LAST, _SEQUENCE)
    s.book.valid = 0
    s.waiting = number


@kernel
def _diff(s, m, number, out):
    """A diff as it arrives."""
    ahead = s.seen_id != 0 and m.before_id > s.seen_id
    s.seen_id = max(s.seen_id, m.last_id)
    if s.book.valid != VALID:
        s.counts.gaps += ahead
        s.counts.waiting += 1
        if s.waiting < 0:
            s.waiting = number
        return
    if m.last_id <= s.last_id:
        s.counts.stale += 1
        return
    if m.before_id > s.last_id:
        s.counts.gaps += 1
        s.counts.waiting += 1
        _gap(s, number, out)
        return
    s.counts.overlaps += s.fresh == 0 and m.before_id < s.last_id
    s.fresh = 0
    s.last_id = m.last_id
    _levels(s, m, out, 1)
    _watch_crossed(s)


@kernel
def _snapshot(s, m, number, out):
    """A snapshot as it arrives: its levels now; its end comes when the waiting diffs are through."""
    if s.book.valid == VALID:
        s.counts.unused += 1
        return _DONE
    book_clear(s.book)
    s.book.valid = LOADING
    s.last_id = m.last_id
    s.fresh = 1
    _emit(s, out, _E_BEGIN, 0, 0, 0, m.last_id, 0, 0)
    _levels(s, m, out, 0)
    s.bridge = s.waiting if s.waiting >= 0 else number
    s.bridge_end = number
    return _bridge_on(s, out)


@kernel
def _bridge_on(s, out):
    """End the snapshot if no message is left that could belong to it."""
    if s.bridge < s.bridge_end:
        return _MORE
    s.source_seq = s.bridge_end
    _emit(s, out, _E_END, 0, 0, 0, s.last_id, _LAST, 0)
    s.book.valid = VALID
    s.waiting = -1
    s.counts.resyncs += s.ever_valid
    s.ever_valid = 1
    _watch_crossed(s)
    return _DONE


@kernel
def _bridge(s, text, index, m, out):
    """The next of the diffs that waited for the snapshot in hand."""
    number = s.bridge
    while number < s.bridge_end and index[number].kind != _DEPTH:
        number += 1
    s.bridge = number + 1
    if number >= s.bridge_end:
        return _bridge_on(s, out)
    entry = index[number]
    code = parse_message(text, entry.offset, entry.offset + entry.length, s.p.grid, m)
    if code != _OK or m.kind != _DEPTH or m.futures != s.p.futures or m.last_id <= s.last_id:
        return _bridge_on(s, out)  # bad was counted when it came; the other is older than the snapshot
    s.source_seq = number
    if m.before_id > s.last_id:
        s.counts.unbridged += 1
        s.source_seq = s.bridge_end
        _gap(s, number, out)
        return _DONE
    s.fresh = 0
    s.last_id = m.last_id
    s.counts.bridged += 1
    _levels(s, m, out, 0)
    return _bridge_on(s, out)


@kernel
def _trade(s, m, out):
    if m.trade_id <= s.last_trade:
        s.counts.trades_stale += 1
        return
    if s.last_trade >= 0 and m.trade_id > s.last_trade + 1:
        s.counts.trade_gaps += 1
        s.counts.trades_missing += m.trade_id - s.last_trade - 1
    s.last_trade = m.trade_id
    if m.px_ticks == 0 or m.qty_lots == 0:
        s.counts.trades_void += 1
        return
    _emit(s, out, _E_TRADE, m.aggressor, m.px_ticks, m.qty_lots, m.trade_id, _LAST, 0)


@kernel
def _ticker(s, m, out):
    if m.last_id < s.last_quote:
        s.counts.quotes_stale += 1
        return
    s.last_quote = m.last_id
    _emit(s, out, _E_QUOTE, _BUY, m.bid_ticks, m.bid_lots, m.last_id, 0, 0)
    _emit(s, out, _E_QUOTE, _SELL, m.ask_ticks, m.ask_lots, m.last_id, _LAST, 0)


@kernel
def _recorded(s, text, entry, number, out):
    """A message whose events are recorded as they are to be published; into the own book what the strategy sees of them."""
    t = scan(text)
    for at in range(entry.offset, entry.offset + entry.length, 8 * _WORDS):
        start = out.count[0] * _WORDS
        for k in range(_WORDS):
            out.words[start + k] = word64(t, at + 8 * k)
        e = out.records[out.count[0]]
        e.source_seq, e.symbol = number, s.p.symbol
        s.recv_ns, s.exch_ns = e.recv_ns, e.exch_ns
        if (e.flag_bits & _EXCHANGE_ONLY) == 0:
            book_fold(s.book, e)
        if e.kind in (_E_LEVEL, _E_END):
            s.last_id = max(s.last_id, e.id)  # numbers of orders go up and down
        s.counts.gaps += e.kind == _E_GAP
        out.count[0] += 1
    s.source_seq = number
    s.ever_valid = 1
    _watch_crossed(s)


@kernel
def _step(s, text, index, m, out):
    if s.book.valid == LOADING:
        return _bridge(s, text, index, m, out)
    number = s.next
    if number >= index.size:
        return _END
    s.next = number + 1
    entry = index[number]
    kind = entry.kind
    s.counts.messages[kind] += 1
    if kind == _OTHER:
        return _DONE
    if s.p.records != 0:
        _recorded(s, text, entry, number, out)
        return _DONE
    code = _BAD
    if kind != _BAD:
        code = parse_message(text, entry.offset, entry.offset + entry.length, s.p.grid, m)
    if code != _OK or m.kind != kind or (kind == _DEPTH and m.futures != s.p.futures):
        s.counts.bad += 1
        return _DONE
    s.source_seq = number
    s.counts.cut_lots += m.cut_lots
    _times(s, entry.recv_ns, m.exch_ns)
    if kind == _SNAPSHOT:
        return _snapshot(s, m, number, out)
    if kind == _DEPTH:
        _diff(s, m, number, out)
    elif kind == _TRADE:
        _trade(s, m, out)
    else:
        _ticker(s, m, out)
    return _DONE


@kernel
def feed_step(s, text, index, scratch, out):
    """Fold the next message, or the next of the diffs that a snapshot brings with it. Appends its events to `out`.

    s: a FEED_STATE record. text, index: of a Capture. scratch: make_scratch(). out: Events with MESSAGE_EVENTS free places.
    Returns a Step. After MORE the message goes on: call again before anything else is published.
    """
    before = out.count[0]
    done = _step(s, text, index, scratch[0], out)
    s.counts.events += out.count[0] - before
    return done


@kernel
def feed_snapshot(s, out, part):
    """The own book as a snapshot for a reader that lost its own: every event REFRESH, the last one LAST.

    part: 0 at first, then what the call before returned; between the parts no feed_step. Fills `out` as far as it goes
    (at least three free places). Returns the next part; 0 when all is said, or when there is no valid book to speak of.
    """
    if s.book.valid != VALID:
        return 0
    before = out.count[0]
    if part == 0:
        _emit(s, out, _E_BEGIN, 0, 0, 0, s.last_id, _REFRESH, 0)
        s.counts.refreshes += 1
    place = part
    while place < 2 * BOOK_LEVELS and out.count[0] < out.records.size - 1:
        levels = s.book.sides[place // BOOK_LEVELS].levels
        k = 2 * (place % BOOK_LEVELS)
        if levels[k] != 0:
            side = _BUY if place < BOOK_LEVELS else _SELL
            _emit(s, out, _E_LEVEL, side, levels[k], levels[k + 1], s.last_id, _REFRESH, 0)
        place += 1
    if place == 2 * BOOK_LEVELS:
        _emit(s, out, _E_END, 0, 0, 0, s.last_id, _REFRESH | _LAST, 0)
        place = 0
    s.counts.events += out.count[0] - before
    return place


@kernel
def feed_control(s, out, code, value):
    """One CONTROL event (a ControlCode and its value) at the time of the newest event. At a message boundary only."""
    _emit(s, out, _E_CONTROL, 0, 0, value, s.controls, _LAST, code)
    s.controls += 1
    s.counts.events += 1


@kernel
def feed_end(s, out):
    """The END_OF_FEED event, the last one of a feed."""
    feed_control(s, out, _END_OF_FEED, 0)


@kernel
def _run(s, text, index, scratch, out):
    """Step until the feed ends or `out` may be too small for another message. Returns the last Step."""
    done = _DONE
    while done != _END and out.count[0] + _MESSAGE_EVENTS <= out.records.size:
        done = feed_step(s, text, index, scratch, out)
    return done


_MESSAGE_EVENTS = make_events().records.size


def fold_capture(
    capture: Capture,
    symbol: int = 0,
    latency_ns: int = LATENCY_NS,
    controls: Sequence[tuple[int, int, int]] = (),
    stopped: bool = False,
) -> tuple[np.recarray, np.recarray]:
    """All market events of a capture, END_OF_FEED included, and the feed's state after them.

    controls: (message, ControlCode, value) in order: CONTROL events, each put before its message. stopped: what END_OF_FEED
    says of what is open.
    Returns (MARKET_EVENT recarray[n], FEED_STATE recarray[1]).
    """
    state = new_feed(capture, symbol, latency_ns)
    scratch, out = make_scratch(), make_events(16 * _MESSAGE_EVENTS)
    chunks = []

    def keep() -> None:
        chunks.append(out.words[: out.count[0] * (MARKET_EVENT.itemsize // 8)].copy())
        out.count[0] = 0

    for message, code, value in (*controls, (len(capture.index), _END_OF_FEED, int(stopped))):
        while _run(state[0], capture.text, capture.index[:message], scratch, out) != Step.END:
            keep()
        feed_control(state[0], out, code, value)
        keep()
    return np.concatenate(chunks).view(MARKET_EVENT).view(np.recarray), state
