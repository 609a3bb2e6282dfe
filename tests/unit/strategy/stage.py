"""A strategy stage on a bench: inputs by name, outputs as dicts, and a venue that answers as it is told.

Everything goes to the compiled fold and to the naive twin alike; `Stage.agree` holds one against the other.
"""

import math

import numpy as np

from ringsim.fold.outbox import make_outbox, outbox_clear
from ringsim.limits import CANCEL_ALL_CREDITS, CREDITS, STRATEGY_OUT
from ringsim.records import ACCOUNT as ACCOUNT_RECORD
from ringsim.records import (
    FEATURES,
    MARKET_EVENT,
    ORDER,
    REPORT,
    ControlCode,
    EventFlag,
    EventKind,
    OrderKind,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Tif,
    Trading,
)
from ringsim.risk.limits import RiskLimits
from ringsim.strategy.fold import on_market, on_report, on_timer, strategy_init
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.schedule import no_orders
from tests.naive.strategy import NaiveStrategy

MILLI = 1_000_000
SECOND = 1_000_000_000
LAST = EventFlag.LAST
PLAIN = [n for n in ORDER.names if n not in ("stamp", "pad", "spare")]
FIGURES = ["imbalance", "spread_bps", "depth_ratio", "pressure_bps", "momentum_bps", "volatility", "trade_flow"]


def params(**given):
    """Small numbers: about twenty lots an intent at prices around a thousand."""
    limits = RiskLimits(
        **{"max_intent": 20_000, "max_position_lots": 30, "max_order_lots": 15, "daily_loss_cap": 4_000}
        | given.pop("limits", {})
    )
    return StrategyParams(**{"capital": 200_000, "limits": limits, "snapshot_interval_ns": 10 * SECOND} | given)


class Stage:
    """The fold, its twin and what was sent. `now` moves with `wait`; timers fire on the way."""

    def __init__(self, **given):
        self.params = params(**given)
        self.state = strategy_init(self.params)
        self.s = self.state[0]
        self.schedule = no_orders()
        self.naive = NaiveStrategy(self.params)
        self.out = make_outbox(ORDER, FEATURES, STRATEGY_OUT)
        self.now = 10 * SECOND
        self.seq = 0
        self.records = []  # all that was sent
        self.unanswered = []  # records without their credit-returning report
        self.open = {}  # at the venue: order id -> ORDER fields and `left`
        self.position = 0

    # inputs

    def event(self, kind, side=0, px=0, qty=0, flags=0, code=0, symbol=0):
        ev = np.zeros(1, MARKET_EVENT).view(np.recarray)[0]
        ev.kind, ev.side, ev.px_ticks, ev.qty_lots, ev.flag_bits, ev.code = kind, side, px, qty, flags, code
        ev.recv_ns, ev.exch_ns, ev.symbol = self.now, self.now - MILLI, symbol
        on_market(self.s, self.schedule, ev, self.seq, self.now, self.out)
        sent = self.collect(self.naive.on_market(ev, self.seq, self.now))
        self.seq += 1
        return sent

    def book(self, bid, ask, bid_lots=10, ask_lots=10):
        """A message after which this is the whole book: one level a side."""
        events = []
        for side, px, qty in ((Side.BUY, bid, bid_lots), (Side.SELL, ask, ask_lots)):
            events.append((EventKind.LEVEL, side, px, qty))
            events += [(EventKind.LEVEL, side, old, 0) for old in self.naive.book.levels[side] if old != px]
        sent = []
        for event in events:
            sent += self.event(*event, flags=LAST if event is events[-1] else 0)
        return sent

    def snapshot(self, bid=1_000, ask=1_001):
        self.event(EventKind.SNAPSHOT_BEGIN)
        self.event(EventKind.LEVEL, Side.BUY, bid, 10)
        self.event(EventKind.LEVEL, Side.SELL, ask, 10)
        return self.event(EventKind.SNAPSHOT_END, flags=LAST)

    def control(self, code, value=0):
        return self.event(EventKind.CONTROL, qty=value, flags=LAST, code=code)

    def end(self):
        return self.control(ControlCode.END_OF_FEED)

    def wait(self, ns):
        """Let time pass; the timers that fall into it fire at their times."""
        until, sent = self.now + ns, []
        while self.s.timer_ns <= until:
            self.now = max(self.now, int(self.s.timer_ns))
            on_timer(self.s, self.schedule, self.now, self.out)
            sent += self.collect(self.naive.on_timer(self.now))
            assert self.s.timer_ns > self.now, "a timer that has fired asks for a later time"
        self.now = until
        return sent

    def report(self, kind, order=None, answers=None, **fields):
        """order: of the venue's book, or a record. answers: the record whose credit comes back."""
        rep = np.zeros(1, REPORT).view(np.recarray)
        r = rep[0]
        r.kind, r.strategy, r.deliver_ns = kind, self.params.strategy, self.now
        if order is not None:
            r.order_id, r.side, r.px_ticks = order["order_id"] or order["target_id"], order["side"], order["px_ticks"]
            r.qty_lots, r.left_lots, r.order_kind = order["qty_lots"], order.get("left", 0), OrderKind.NEW
        if answers is not None:
            r.order_kind, r.flag_bits = answers["kind"], ReportFlag.RETURNS_CREDIT
        for name, value in fields.items():
            r[name] = value
        acc = rep.view(ACCOUNT_RECORD).view(np.recarray)[0]
        on_report(self.s, self.schedule, r, acc, self.seq, self.now, self.out)
        return self.collect(self.naive.on_report(r, acc, self.now))

    def account(self, trading, reason=Reason.NONE):
        acc = np.zeros(1, ACCOUNT_RECORD).view(np.recarray)
        acc[0].kind, acc[0].trading, acc[0].reason = ReportKind.ACCOUNT, trading, reason
        rep = acc.view(REPORT).view(np.recarray)[0]
        on_report(self.s, self.schedule, rep, acc[0], self.seq, self.now, self.out)
        return self.collect(self.naive.on_report(rep, acc[0], self.now))

    # the venue

    def answer(self, kind=None, reason=Reason.NONE, lots=None):
        """The oldest unanswered record gets its report: as it should, or `kind` for a NEW (accepted with `lots`)."""
        record = self.unanswered.pop(0)
        if record["kind"] == OrderKind.NEW:
            kind = ReportKind.ACCEPTED if kind is None else kind
            order = dict(record, left=record["qty_lots"] if lots is None else lots)
            if kind == ReportKind.ACCEPTED:
                order["qty_lots"] = order["left"]
                self.open[order["order_id"]] = order
            return self.report(kind, order, record, reason=reason)
        if record["kind"] == OrderKind.CANCEL:
            order = self.open.pop(record["target_id"], None)
            if order is None:
                return self.report(ReportKind.CANCEL_REJECTED, record, record, reason=Reason.UNKNOWN_ORDER)
            return self.report(ReportKind.CANCELLED, order, record, reason=Reason.ASKED)
        sent = []
        if record["kind"] == OrderKind.CANCEL_ALL:
            for order in list(self.open.values()):
                sent += self.cancel(order["order_id"], Reason.ASKED)
        return sent + self.report(ReportKind.NOTED, None, record)

    def answer_all(self):
        sent = []
        while self.unanswered:
            sent += self.answer()
        return sent

    def fill(self, order_id, lots=None, fee=0, px=None):
        order = self.open[order_id]
        lots = order["left"] if lots is None else lots
        order["left"] -= lots
        if order["left"] == 0:
            del self.open[order_id]
        self.position += lots if order["side"] == Side.BUY else -lots
        fields = {"qty_lots": lots, "fee": fee, "left_lots": order["left"], "px_ticks": px or order["px_ticks"]}
        return self.report(ReportKind.FILL, order, **fields)

    def cancel(self, order_id, reason=Reason.NO_LIQUIDITY):
        return self.report(ReportKind.CANCELLED, self.open.pop(order_id), reason=reason)

    # what came out

    def collect(self, expected):
        sent = []
        assert self.out.count[0] <= STRATEGY_OUT
        for i in range(self.out.count[0]):
            o = self.out.records[i]
            if o.kind == OrderKind.SNAPSHOT:
                seen = self.out.alternate[i]
                record = {n: seen[n] for n in FEATURES.names if n not in ("stamp", "pad")}
            else:
                record = {n: int(o[n]) for n in PLAIN}
            sent.append(record)
        outbox_clear(self.out)
        self.records += sent
        self.unanswered += sent
        self.agree(sent, expected)
        return sent

    def agree(self, sent, expected):
        """The twin sent the same, knows the same, and waits for the same time."""
        kinds = [OrderKind(r["kind"]).name for r in sent], [OrderKind(r["kind"]).name for r in expected]
        assert kinds[0] == kinds[1]
        for found, wanted in zip(sent, expected, strict=True):
            if found["kind"] == OrderKind.SNAPSHOT:
                agree_on_features(found, dict(wanted))
            else:
                assert {n: v for n, v in found.items() if v} == {n: int(v) for n, v in wanted.items() if v}
        s, naive = self.s, self.naive
        assert (s.timer_ns, s.credits) == (naive.timer_ns, naive.credits)
        assert s.credits + len([r for r in self.unanswered if r["kind"] != OrderKind.CANCEL_ALL]) == CREDITS
        assert s.cancel_all_credits + naive.cancel_alls == CANCEL_ALL_CREDITS
        assert s.ledger.position_lots == naive.ledger.position == self.position
        assert s.working_buy_lots == naive.working(Side.BUY) and s.working_sell_lots == naive.working(Side.SELL)
        assert s.v.own_orders == len(naive.orders)
        assert (s.risk.trading, s.risk.halt_reason) == (naive.gate.trading, naive.gate.reason)
        self.laws(sent)

    def laws(self, sent):
        """What must hold whatever happens."""
        s = self.s
        assert s.credits >= 0 and s.cancel_all_credits >= 0
        at_work = [s.orders[k] for k in range(s.v.own_orders)]
        assert len({o.tag for o in at_work}) == len(at_work) <= 1, "one entry or one close at work, never both"
        for record in sent:
            if record["kind"] in (OrderKind.NEW, OrderKind.REFUSED):
                assert self.naive.book.state == "valid" and self.naive.features.now
                assert record["tif"] in (Tif.POST_ONLY, Tif.IOC)
            if record["kind"] == OrderKind.NEW:
                assert 1 <= record["qty_lots"] <= record["asked_lots"]
                assert s.risk.trading != Trading.HALTED and s.account_trading != Trading.HALTED


def agree_on_features(found, wanted):
    features = wanted.pop("features")
    assert found["sample"] == features["sample"] and found["position_lots"] == wanted.pop("position_lots")
    for name, value in wanted.items():
        assert found[name] == value, name
    for name in ("bid_ticks", "ask_ticks"):
        assert found[name] == features.get(name, 0)
    for name in FIGURES:
        assert math.isclose(found[name], float(features.get(name, 0)), rel_tol=1e-9, abs_tol=1e-12), name
