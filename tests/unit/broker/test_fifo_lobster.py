"""Orders of ours at many places of the recorded order-level excerpts: after every row each stands where lists of orders have it.

The rows are read here, by themselves; the exchange is told what the program makes of them.
"""

import gzip

import pytest

from ringsim.broker.queue import QueueModel
from ringsim.market.feed import fold_capture
from ringsim.market.lobster import prepare_lobster
from ringsim.records import EventFlag, EventKind, OrderKind, ReportKind, Tif
from tests.unit.broker.orderqueues import Queues
from tests.unit.broker.venue import BUY, SELL, Venue
from tests.unit.market.captures import ROOT

RECORDED = ROOT.parent / "shared" / "data" / "lobster"
NEW, REDUCED, DELETED, EXECUTED, HIDDEN = range(1, 6)
AT_ONCE = 40  # orders of ours, at most

pytestmark = [
    pytest.mark.captures,
    pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded market data folder is not here"),
]


def numbers(path):
    """The rows of a file; a message's time is left out."""
    with gzip.open(path, "rt") as file:
        return [[int(word) for word in line.split(",") if "." not in word] for line in file]


class Session:
    """One pass over an excerpt: rows into the lists, events into the exchange (and its twin), orders of ours into both."""

    def __init__(self, symbol):
        files = [RECORDED / f"{symbol}_msgs.csv.gz", RECORDED / f"{symbol}_book.csv.gz"]
        capture = prepare_lobster(files)
        self.step = 100 if capture.meta.instrument.tick == "0.01" else 1
        self.events = list(fold_capture(capture)[0][:-1])[::-1]
        self.rows, self.book = numbers(files[0]), numbers(files[1])
        self.v = Venue(queue_model=QueueModel.FIFO, entry_ns=0, response_ns=0)
        self.queues = Queues()
        self.ours = {}  # order id: (side, px)
        self.compared = self.pushed = self.placed = 0

    def tell(self, kind):
        """The next event, which is of that kind."""
        e = self.events.pop()
        assert e.kind == kind
        last = bool(e.flag_bits & EventFlag.LAST)
        return self.v.feed(e.kind, int(e.side), int(e.px_ticks), int(e.qty_lots), last, number=int(e.id))

    def begin(self):
        """The first row of the book file; the message that made it belongs to it."""
        kind, number, lots, price, direction = self.rows[0]
        first = self.book[0]
        for side, at in ((SELL, 0), (BUY, 2)):
            for px, displayed in zip(first[at::4], first[at + 1 :: 4], strict=True):
                if abs(px) < 9_999_999_999 and displayed:
                    self.queues.levels[side, px // self.step] = [[0, displayed, None]]
        self.queues.newest = number
        if kind == NEW:
            side, px = BUY if direction > 0 else SELL, price // self.step
            self.queues.levels[side, px][0][1] -= lots
            self.queues.add(side, px, number, lots)
        self.tell(EventKind.SNAPSHOT_BEGIN)
        while self.events[-1].kind == EventKind.LEVEL:
            self.tell(EventKind.LEVEL)
        self.tell(EventKind.SNAPSHOT_END)

    def row(self, kind, number, lots, price, direction):
        side, px = BUY if direction > 0 else SELL, price // self.step
        if kind in (EXECUTED, HIDDEN):
            self.told_fills(self.tell(EventKind.TRADE))
        if kind == NEW:
            self.queues.add(side, px, number, lots)
        elif kind != HIDDEN:
            self.queues.take(side, px, number, lots, whole=kind == DELETED)
        if kind != HIDDEN:
            self.told_fills(self.tell(EventKind.LEVEL))

    def told_fills(self, reports):
        for r in reports:
            if r["kind"] == ReportKind.FILL and not r.get("left_lots", 0):
                self.leave(r["order_id"])

    def leave(self, order):
        self.queues.leave(*self.ours.pop(order), order)

    def place(self, side, px):
        if len(self.ours) >= AT_ONCE:
            oldest = next(iter(self.ours))
            self.v.change(OrderKind.CANCEL, target_id=oldest)
            self.leave(oldest)
        order = self.v.new(side, px, 1_000, Tif.POST_ONLY)
        if any(r["kind"] == ReportKind.ACCEPTED for r in self.v.wait(0)):
            self.placed += 1
            self.ours[order] = (side, px)
            self.queues.join(side, px, order)

    def compare(self, before):
        """Every order's F. before: what it was after the row before."""
        s, found = self.v.s, {}
        for side in (BUY, SELL):
            for i in range(s.ranked[side]):
                o = s.orders[s.rank[side, i]]
                found[int(o.order_id)] = float(o.front)
        assert found == {order: self.queues.ahead(*place, order) for order, place in self.ours.items()}
        assert found == {o["order_id"]: o["front"] for o in self.v.naive.resting}
        self.compared += len(found)
        self.pushed += sum(lots > before.get(order, lots) for order, lots in found.items())
        return found


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("symbol", "late", "every"), [("AAPL", 1, 7), slow("AAPL", 1, 3), slow("MSFT", 100, 3), slow("MSFT", 100, 7)]
)
def test_the_quantity_ahead_is_that_of_the_real_queue_after_every_row(symbol, late, every):
    session = Session(symbol)
    session.begin()
    before = {}
    for k, row in enumerate(session.rows[1:]):
        session.row(*row)
        before = session.compare(before)
        if k % every == 0:
            side = (BUY, SELL)[k // every % 2]
            prices = session.queues.prices(side)
            depth = k // every // 2 % 6
            session.place(side, prices[min(depth, len(prices) - 1)] if depth < 5 else prices[0] + (side == BUY) * 2 - 1)
            before |= {order: lots for order, lots in session.compare({}).items() if order not in before}
    assert not session.events
    print(symbol, every, session.placed, session.compared, session.pushed)
    assert session.placed > 60 and session.compared > 5_000 and session.pushed >= late
