"""The top of the book at chosen market events: what stood in the market when something happened.

Invariant: a top is that of the newest *whole* message at or before the event: in the middle of a message, or while the book
is loaded, nobody sees half of it. No valid book, an empty side, or sides that cross: no market, all zeros. A prediction stays
in force until the next one, whatever becomes of the book.

Twin: tests/naive/analysis.py.
"""

from typing import Any

import numpy as np

from ringsim.book import BOOK, VALID, book_best, book_fold, book_qty
from ringsim.kernel import kernel
from ringsim.records import EventKind, Side

TOP = np.dtype(
    [
        ("bid_ticks", "i8"),  # 0: no market
        ("ask_ticks", "i8"),
        ("bid_lots", "i8"),  # at the best price
        ("ask_lots", "i8"),
        ("prediction_ticks", "i8"),  # 0: none so far
    ]
)
_STATE = np.dtype([("book", BOOK), ("top", TOP), ("next", "i8"), ("symbol", "i8")])

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_LEVEL, _GAP, _PREDICTION = np.int64(EventKind.LEVEL), np.int64(EventKind.GAP), np.int64(EventKind.PREDICTION)
_BEGIN, _END = np.int64(EventKind.SNAPSHOT_BEGIN), np.int64(EventKind.SNAPSHOT_END)


@kernel
def _look(s):
    """The book is whole: its top."""
    bid, ask = book_best(s.book, _BUY), book_best(s.book, _SELL)
    if bid == 0 or ask == 0 or bid >= ask:
        s.top.bid_ticks, s.top.ask_ticks, s.top.bid_lots, s.top.ask_lots = 0, 0, 0, 0
        return
    s.top.bid_ticks, s.top.bid_lots = bid, book_qty(s.book, _BUY, bid)
    s.top.ask_ticks, s.top.ask_lots = ask, book_qty(s.book, _SELL, ask)


@kernel
def _fold(s, ev):
    if ev.symbol != s.symbol:
        return
    kind = ev.kind
    if kind == _PREDICTION:
        s.top.prediction_ticks = ev.px_ticks
    elif kind in (_LEVEL, _BEGIN, _END, _GAP):
        whole = book_fold(s.book, ev)
        if whole:
            _look(s)
        elif s.book.valid != VALID:
            s.top.bid_ticks, s.top.ask_ticks, s.top.bid_lots, s.top.ask_lots = 0, 0, 0, 0


@kernel
def _tops_at(states, events, seqs, tops):
    s = states[0]
    for i in range(seqs.size):
        while s.next <= seqs[i] and s.next < events.size:
            _fold(s, events[s.next])
            s.next += 1
        tops[i].bid_ticks, tops[i].ask_ticks = s.top.bid_ticks, s.top.ask_ticks
        tops[i].bid_lots, tops[i].ask_lots = s.top.bid_lots, s.top.ask_lots
        tops[i].prediction_ticks = s.top.prediction_ticks


class Tops:
    """One pass over the market events of a run, for one symbol; ask in the order of the sequences."""

    def __init__(self, events: np.ndarray, symbol: int = 0) -> None:
        """events: MARKET_EVENT[n], all that the market ring held from sequence 0. symbol: its number in the records."""
        self._events = np.ascontiguousarray(events).view(np.recarray)
        self._states: Any = np.zeros(1, _STATE).view(np.recarray)
        self._states[0].symbol = symbol
        self._last = -1

    def at(self, seqs: np.ndarray) -> np.ndarray:
        """TOP[n] after the events with these sequences. seqs: int64[n], never decreasing, over all calls; below 0: no market."""
        seqs = np.ascontiguousarray(seqs, np.int64)
        if len(seqs) and (int(seqs[0]) < self._last or (np.diff(seqs) < 0).any()):
            raise ValueError("sequences must not decrease: the market is folded once")
        found = np.zeros(len(seqs), TOP)
        _tops_at(self._states, self._events, seqs, found.view(np.recarray))
        self._last = max(self._last, int(seqs[-1])) if len(seqs) else self._last
        return found
