"""A paper exchange and its naive twin side by side: whatever the one is told, the other is told too, and both say the same.

After every input: equal reports in equal order, equal timers, the ledger's identities, fills that add up to the position,
delivery times that never decrease, no more credits than records. `Venue.close()` ends the feed and checks that every record of
the orders ring was answered exactly once.
"""

import numpy as np

from ringsim.broker.account import account_whole
from ringsim.broker.delays import delay_table
from ringsim.broker.exchange import broker_init, on_market, on_order, on_timer
from ringsim.broker.params import BrokerParams
from ringsim.fold.outbox import make_outbox, outbox_clear
from ringsim.limits import EXECUTION_OUT
from ringsim.records import (
    ACCOUNT,
    MARKET_EVENT,
    NEVER_NS,
    ORDER,
    REPORT,
    ControlCode,
    EventFlag,
    EventKind,
    OrderKind,
    OrderType,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Tif,
)
from tests.naive.broker import NaiveBroker

BUY, SELL = Side.BUY, Side.SELL
MS = 1_000_000


def as_dict(out, i):
    """The fields of a report that are not zero."""
    record = out.alternate[i] if out.records[i].kind == ReportKind.ACCOUNT else out.records[i]
    return {
        name: int(record[name]) for name in record.dtype.names if name not in ("stamp", "pad", "pad2") and record[name]
    }


def told(report):
    return {name: int(value) for name, value in report.items() if value}


class Venue:
    """now: ns, moved by `wait`. Reports of the last call: `reports` (dicts without zeros)."""

    def __init__(self, rows=None, values=(0, 0), **params):
        """rows, values: [(at, ns)] of either direction, and of how many values, for a latency model that looks them up."""
        params = {"cash0": 10**12, "maker_cbps": 0, "taker_cbps": 0, "snapshot_interval_ns": 0} | params
        self.params = BrokerParams(**params)
        self.state = broker_init(self.params, delay_table(*rows, values) if rows else None)
        self.s = self.state[0]
        self.naive = NaiveBroker(self.params, rows or ((), ()), values)
        self.out = make_outbox(REPORT, ACCOUNT, EXECUTION_OUT)
        self.event = np.zeros(1, MARKET_EVENT).view(np.recarray)
        self.record = np.zeros(1, ORDER).view(np.recarray)
        self.now = 10 * MS
        self.market_seq = self.sent = 0
        self.last_id = {}
        self.answers = {}  # trigger_ns of a record: answers that returned its credit
        self.last_delivery = 0
        self.most = 0  # reports of one input
        self.everything = []
        self.reports = []

    # Both at once

    def _compare(self, expected, compare):
        got = [as_dict(self.out, i) for i in range(self.out.count[0])]
        self.most = max(self.most, len(got))
        outbox_clear(self.out)
        if not compare:
            return got
        assert got == [told(r) for r in expected]
        assert self.s.timer_ns == self.naive.timer_ns
        assert self.s.open_orders == len(self.naive.resting)
        assert account_whole(self.s)
        for report in got:
            assert report["deliver_ns"] >= max(self.last_delivery, self.now + self.params.response_ns)
            self.last_delivery = report["deliver_ns"]
            if report.get("flag_bits", 0) & ReportFlag.RETURNS_CREDIT and report["kind"] != ReportKind.ACCOUNT:
                self.answers[report["order_trigger_ns"]] += 1
                assert self.answers[report["order_trigger_ns"]] == 1, "a credit came back twice"
        self.everything += got
        self.reports = got
        fills = [r for r in self.everything if r["kind"] == ReportKind.FILL]
        signed = sum(r["qty_lots"] if r["side"] == BUY else -r["qty_lots"] for r in fills)
        assert self.s.ledger.position_lots == signed
        return got

    def feed(self, kind, side=0, px=0, qty=0, last=True, code=0, refresh=False, symbol=None, compare=True, number=0):
        flags = (EventFlag.LAST if last else 0) | (EventFlag.REFRESH if refresh else 0)
        fields = {
            "kind": int(kind),
            "side": int(side),
            "px_ticks": px,
            "qty_lots": qty,
            "id": number,
            "flag_bits": int(flags),
            "code": int(code),
            "symbol": self.params.symbol if symbol is None else symbol,
            "recv_ns": self.now + 1,
            "exch_ns": self.now,
        }
        for name, value in fields.items():
            self.event[name] = value
        seq = self.market_seq
        self.market_seq += 1
        on_market(self.s, self.event[0], seq, self.now, self.out)
        return self._compare(self.naive.market(fields, seq, self.now), compare)

    def send(self, kind, strategy=0, **fields):
        self.sent += 1
        record = {
            "order_id": 0, "target_id": 0, "strategy": strategy, "symbol": self.params.symbol, "side": 0, "type": 0,
            "tif": 0, "px_ticks": 0, "qty_lots": 0, "reason": 0, "trigger_seq": self.market_seq, "trigger_ns": self.sent,
            "created_ns": self.now,
        } | {name: int(value) for name, value in fields.items()} | {"kind": int(kind)}  # fmt: skip
        self.answers[self.sent] = 0
        for name in ORDER.names:
            self.record[name] = record.get(name, 0)
        on_order(self.s, self.record[0], self.sent, self.now, self.out)
        return self._compare(self.naive.order(record, self.now), True)

    def tick(self, compare=True):
        """One timer call at its own time, or now if it is late."""
        self.now = max(self.now, int(self.s.timer_ns))
        on_timer(self.s, self.now, self.out)
        return self._compare(self.naive.timer(self.now), compare)

    # What people do

    def wait(self, ns):
        """Let time pass; everything due happens. Returns the reports of all of it."""
        end, found = self.now + ns, []
        while self.s.timer_ns <= end:
            found += self.tick()
        self.now = max(self.now, end)
        return found

    def book(self, bids=(), asks=()):
        """A whole new book from a snapshot: pairs (px, qty)."""
        self.feed(EventKind.SNAPSHOT_BEGIN, last=False)
        for side, levels in ((BUY, bids), (SELL, asks)):
            for px, qty in levels:
                self.feed(EventKind.LEVEL, side, px, qty, last=False)
        return self.feed(EventKind.SNAPSHOT_END)

    def level(self, side, px, qty, last=True, number=0):
        return self.feed(EventKind.LEVEL, side, px, qty, last, number=number)

    def trade(self, aggressor, px, qty, number=0):
        return self.feed(EventKind.TRADE, aggressor, px, qty, number=number)

    def control(self, code, value=0):
        return self.feed(EventKind.CONTROL, code=code, qty=int(value))

    def new(self, side, px, qty, tif=Tif.GTC, kind=OrderType.LIMIT, strategy=0, order_id=None, **fields):
        """Send a new order; returns its id."""
        if order_id is None:
            order_id = self.last_id.get(strategy, 0) + 1
        self.last_id[strategy] = max(self.last_id.get(strategy, 0), order_id)
        self.send(
            OrderKind.NEW,
            strategy,
            order_id=order_id,
            side=side,
            px_ticks=px,
            qty_lots=qty,
            tif=tif,
            type=kind,
            **fields,
        )
        return order_id

    def place(self, *args, **fields):
        """Send a new order and wait until the exchange has acted; returns the reports of that."""
        self.new(*args, **fields)
        return self.wait(self.params.entry_ns + self.params.entry_jitter_ns)

    def market(self, side, qty, **fields):
        return self.place(side, 0, qty, Tif.IOC, OrderType.MARKET, **fields)

    def change(self, kind, **fields):
        """Send a CANCEL, CANCEL_ALL or REPLACE and wait until the exchange has acted."""
        self.send(kind, **fields)
        return self.wait(self.params.entry_ns + self.params.entry_jitter_ns)

    def close(self, stopped=False):
        """End of the feed (or the operator's stop), the expiry, and the last account."""
        self.control(ControlCode.END_OF_FEED, stopped)
        found = self.wait(self.params.expiry_ns + self.params.entry_ns)
        assert found[-1]["kind"] == ReportKind.ACCOUNT and found[-1]["flag_bits"] == ReportFlag.FINAL
        assert self.s.timer_ns == NEVER_NS and self.s.open_orders == 0 and self.s.in_flight_count == 0
        assert set(self.answers.values()) <= {1}, "a record was never answered"
        return found


def kinds(reports):
    return [ReportKind(r["kind"]).name for r in reports]


def fills(reports):
    """(px, lots) of each fill."""
    return [(r["px_ticks"], r["qty_lots"]) for r in reports if r["kind"] == ReportKind.FILL]


def reasons(reports):
    return [Reason(r.get("reason", 0)).name for r in reports if r["kind"] != ReportKind.ACCOUNT]
