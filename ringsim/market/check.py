"""What a capture is worth: is it whole, does its book agree with what the venue itself announced as the best prices?

The book is built from snapshot and diffs alone; bookTicker is independent truth. After each diff the book's best prices and
quantities must equal the newest bookTicker with u <= the diff's u, whenever that was received. Quantities are compared
exactly: where some are finer than the instrument's lot, the check folds on a finer one.

A snapshot covers so many levels a side. Beyond the last of them orders may rest that no diff ever names; when the market
gets there the ticker shows a level that the book cannot know. That is no mismatch: it is counted as `ticker_beyond`. In
the spot session of 2024-08-08 the market falls 75 below the 1,000th bid, and meets two such orders.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from ringsim.book import VALID, book_best, book_qty
from ringsim.kernel import kernel
from ringsim.limits import CAPTURE_WARNINGS
from ringsim.market.binance import MessageKind, make_scratch, parse_message
from ringsim.market.capture import Capture, examine_capture, prepare
from ringsim.market.events import make_events
from ringsim.market.feed import Step, feed_step, new_feed
from ringsim.market.instruments import MAX_DECIMALS, infer_instrument, make_grid
from ringsim.market.jsontext import Parse
from ringsim.records import EventKind, Side
from ringsim.units import Instrument

AGREES, DIFFERS, BEYOND = 0, 1, 2

# What a place in the capture is noted for.
GAP, TRADE_GAP, CROSSED, MISMATCH = 0, 1, 2, 3
_WORDS = (
    "the sequence of diffs breaks",
    "trade ids are missing",
    "the book is crossed",
    "the book differs from bookTicker",
)

_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_LEVEL, _BEGIN = int(EventKind.LEVEL), int(EventKind.SNAPSHOT_BEGIN)
_TICKER, _OK, _END = int(MessageKind.BOOK_TICKER), int(Parse.OK), int(Step.END)


class FeedCheck(msgspec.Struct, frozen=True):
    """The answer; the first eleven are what `ringsim feed check --json` promises."""

    messages: dict[str, int]
    bad: int
    gaps: int
    trade_gaps: int
    crossed: int
    ticker_checked: int
    ticker_mismatches: int
    skew_ms: float
    span_s: float
    symbol: str
    market: str
    stale: int
    overlaps: int
    waiting: int
    bridged: int
    unbridged: int
    resyncs: int
    trades_missing: int
    trades_stale: int
    ticker_beyond: int  # not comparable: the ticker shows a level beyond what the snapshot covered
    cut_lots: int
    events: int
    tick: str
    lot: str
    instrument_known: bool
    began: str  # UTC
    ended: str
    book_valid: bool  # at the end
    notes: list[str]
    warnings: list[str]

    @property
    def sound(self) -> bool:
        """Whether a run on it can be trusted: it ends with a valid book that nothing has contradicted."""
        return self.book_valid and self.crossed == 0 and self.ticker_mismatches == 0


def check_session(files: Sequence[Path], instruments: Iterable[Instrument] = ()) -> FeedCheck:
    """Fold a session and compare. Raises BadInput as `prepare` does."""
    capture = prepare(files, instruments)
    exact = msgspec.structs.replace(capture.meta, instrument=_exact(capture))
    state = new_feed(replace(capture, meta=exact))
    tickers = _tickers(capture, exact.instrument)
    found = np.zeros(3, np.int64)
    places = np.full((len(_WORDS), CAPTURE_WARNINGS), -1, np.int64)
    _fold_and_compare(
        state[0],
        capture.text,
        capture.index,
        make_scratch(),
        make_events(),
        tickers,
        found,
        places,
        np.zeros(2, np.int64),
    )
    counts, meta = state[0].counts, capture.meta
    return FeedCheck(
        messages=meta.counts,
        bad=int(counts.bad),
        gaps=int(counts.gaps),
        trade_gaps=int(counts.trade_gaps),
        crossed=int(counts.crossed),
        ticker_checked=int(found[0]),
        ticker_mismatches=int(found[1]),
        skew_ms=meta.skew_ns / 1e6,
        span_s=meta.span_s,
        symbol=meta.symbol,
        market=meta.market,
        stale=int(counts.stale),
        overlaps=int(counts.overlaps),
        waiting=int(counts.waiting),
        bridged=int(counts.bridged),
        unbridged=int(counts.unbridged),
        resyncs=int(counts.resyncs),
        trades_missing=int(counts.trades_missing),
        trades_stale=int(counts.trades_stale),
        ticker_beyond=int(found[2]),
        cut_lots=meta.cut_lots,
        events=int(counts.events),
        tick=meta.instrument.tick,
        lot=meta.instrument.lot,
        instrument_known=meta.instrument_known,
        began=_utc(meta.first_recv_ns),
        ended=_utc(meta.last_recv_ns),
        book_valid=bool(state[0].book.valid == VALID),
        notes=meta.notes + _beyond(int(found[2])),
        warnings=meta.warnings + _described(capture, places),
    )


def _exact(capture: Capture) -> Instrument:
    """The capture's instrument, on a lot fine enough for every quantity in it, where one fits."""
    one = capture.meta.instrument
    if capture.meta.cut_lots == 0:
        return one
    for digits in range(1, MAX_DECIMALS + 1):
        lot = infer_instrument(one.symbol, one.market, [("1", "0." + "0" * (digits - 1) + "1")]).lot
        finer = msgspec.structs.replace(one, lot=lot)
        codes, cut = examine_capture(capture.text, capture.index, finer, capture.meta.futures)
        if cut == 0 and not codes.any():
            return finer
    return one


def _tickers(capture: Capture, instrument: Instrument) -> np.ndarray:
    """int64[n, 5]: u, bid ticks and lots, ask ticks and lots of every bookTicker, by u; the last received of equal ones."""
    room = np.zeros((capture.meta.counts["bookTicker"], 5), np.int64)
    count = _collect(capture.text, capture.index, make_grid(instrument), make_scratch(), room)
    found = room[:count]
    return np.ascontiguousarray(found[np.argsort(found[:, 0], kind="stable")])


@kernel
def _collect(text, index, grid, scratch, found):
    m = scratch[0]
    count = 0
    for k in range(index.size):
        if index[k].kind != _TICKER:
            continue
        start = index[k].offset
        if parse_message(text, start, start + index[k].length, grid[0], m) != _OK:
            continue
        found[count, 0] = m.last_id
        found[count, 1], found[count, 2] = m.bid_ticks, m.bid_lots
        found[count, 3], found[count, 4] = m.ask_ticks, m.ask_lots
        count += 1
    return count


@kernel
def _newest(tickers, update_id):
    """Row of the newest ticker with u <= update_id; -1 if there is none."""
    low, high = 0, tickers.shape[0]
    while low < high:
        middle = (low + high) // 2
        if tickers[middle, 0] <= update_id:
            low = middle + 1
        else:
            high = middle
    return low - 1


@kernel
def _compare(book, ticker, covered):
    """AGREES, DIFFERS or BEYOND: all that differs is a level of the ticker's that the snapshot did not cover."""
    bid, ask = book_best(book, _BUY), book_best(book, _SELL)
    bid_agrees = bid == ticker[1] and book_qty(book, _BUY, bid) == ticker[2]
    ask_agrees = ask == ticker[3] and book_qty(book, _SELL, ask) == ticker[4]
    if bid_agrees and ask_agrees:
        return AGREES
    bid_beyond = bid < ticker[1] < covered[0]
    ask_beyond = ticker[3] > covered[1] and (ticker[3] < ask or ask == 0)
    return BEYOND if (bid_agrees or bid_beyond) and (ask_agrees or ask_beyond) else DIFFERS


@kernel
def _cover(out, covered):
    """If a snapshot began in these events: its lowest bid and highest ask, ticks."""
    if out.count[0] == 0 or out.records[0].kind != _BEGIN:
        return
    covered[0] = covered[1] = 0
    for k in range(1, out.count[0]):
        e = out.records[k]
        if e.kind != _LEVEL:
            continue
        if e.side == _BUY and (covered[0] == 0 or e.px_ticks < covered[0]):
            covered[0] = e.px_ticks
        elif e.side == _SELL and e.px_ticks > covered[1]:
            covered[1] = e.px_ticks


@kernel
def _note(places, what, seen, now, number):
    """Remember the message at which a count went up, if it did. Returns the count."""
    if now > seen and seen < places.shape[1]:
        places[what, seen] = number
    return now


@kernel
def _fold_and_compare(s, text, index, scratch, out, tickers, found, places, covered):
    """Fold everything, compare after each diff.

    found: int64[3]: comparisons, mismatches, beyond. places: int64[4, n]: messages at which something was noted.
    covered: int64[2], room for what a snapshot covers.
    """
    gaps = trade_gaps = crossed = mismatches = np.int64(0)
    compared = np.int64(-1)
    done = np.int64(0)
    while done != _END:
        out.count[0] = 0
        done = np.int64(feed_step(s, text, index, scratch, out))
        number = s.next - 1
        _cover(out, covered)
        gaps = _note(places, GAP, gaps, s.counts.gaps, number)
        trade_gaps = _note(places, TRADE_GAP, trade_gaps, s.counts.trade_gaps, number)
        crossed = _note(places, CROSSED, crossed, s.counts.crossed, number)
        if s.book.valid != VALID or s.fresh != 0 or s.last_id == compared:
            continue
        compared = s.last_id
        row = _newest(tickers, compared)
        if row >= 0:
            result = _compare(s.book, tickers[row], covered)
            found[0] += result != BEYOND
            found[1] += result == DIFFERS
            found[2] += result == BEYOND
        mismatches = _note(places, MISMATCH, mismatches, found[1], number)


def _beyond(count: int) -> list[str]:
    if count == 0:
        return []
    return [f"the market left what the snapshot covered: {count} comparisons met a level that rested there unseen"]


def _described(capture: Capture, places: np.ndarray) -> list[str]:
    """The places as lines, in the capture's order, as many as are kept of bad lines."""
    noted = sorted((int(number), what) for what, row in enumerate(places) for number in row if number >= 0)
    return [f"{capture.place(number)}: {_WORDS[what]}" for number, what in noted[:CAPTURE_WARNINGS]]


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**6 / 1e3, UTC).isoformat(timespec="milliseconds")
