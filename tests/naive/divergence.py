"""The divergence strategy by its rules, in the naive stage; and the regime from a list of all returns."""

from fractions import Fraction
from itertools import pairwise
from math import floor, sqrt

from ringsim.records import NEVER_NS, OrderKind, OrderType, ReportKind, Side, Tif
from ringsim.strategy.protocol import MAX_INTENTS
from tests.naive.strategy import NaiveStrategy

TRADES, WINDOW = 16, 64


def regime_of(mids2, volatile_at, trend_at):
    """0 sideways, 1 trend, 2 volatile, from the mids (twice them) of all decisions since the book was last lost."""
    returns = []
    for before, mid in pairwise(mids2):
        returns.append(max(-(2**28), min(2**28, floor((mid - before) / before * 2.0**31 + 0.5))))
    returns = returns[-WINDOW:]
    if len(returns) < WINDOW / 2:
        return 0
    if sqrt(sum(r * r for r in returns) / len(returns)) >= volatile_at * 2.0**31:
        return 2
    way = sum(abs(r) for r in returns)
    return 1 if way and abs(sum(returns)) / way >= trend_at else 0


class NaiveDivergence(NaiveStrategy):
    """The same stage; trades are dicts in a list of places."""

    def __init__(self, params):
        super().__init__(params)
        self.next_ns = None
        self.mids2 = []
        self.trades = [None] * TRADES
        self.sign = 0
        self.triggers = self.passed = 0

    def observe(self, f, now):
        return 0, 0

    def own_report(self, kind, rep, now):
        order = self.orders.get(int(rep.order_id))
        if kind == ReportKind.FILL and order:
            lots = int(rep.qty_lots)
            self.trades[order["place"]]["lots"] += lots if order["tag"] == "entry" else -lots
        return super().own_report(kind, rep, now)

    def ask(self, cause, now):
        if cause == "no book":
            self.mids2 = []
        super().ask(cause, now)

    def at_work(self, place, tags=("entry", "close")):
        return any(o["place"] == place and o["tag"] in tags for o in self.orders.values())

    def act(self, cause, f, met, fresh, now):
        self.intents = 0
        if cause == "end":
            if self.signal:
                self.say(OrderKind.SIGNAL_END, now)
            return
        for place, trade in enumerate(self.trades):
            if trade and now >= trade["until"] and not trade["lots"] and not self.at_work(place):
                self.trades[place] = None
        first = self.next_ns is None and cause == "prediction" and f and self.prediction
        if first:
            self.next_ns = now
        if first or (self.next_ns is not None and (now, cause == "timer") >= (self.next_ns, True)):
            while self.next_ns <= now:
                self.next_ns += self.p.decision_interval_ns
            if f and self.prediction:
                self.decide(f, now)
        self.close(f, now)

    def say(self, kind, now):
        self.intents += 1
        more = (
            {"hold_ns": now - (self.signal["first_entry"] or self.signal["started"])}
            if kind == OrderKind.SIGNAL_END
            else {}
        )
        self.emit_signal(kind, now, self.signal, **more)

    def decide(self, f, now):
        mid2 = f["bid_ticks"] + f["ask_ticks"]
        self.mids2.append(mid2)
        d = Fraction(2 * self.prediction - mid2, mid2)
        threshold = Fraction(str(self.p.divergence_threshold))
        sign = (d > threshold) - (d < -threshold)
        if self.signal and self.signal["sign"] != sign:
            self.say(OrderKind.SIGNAL_END, now)
            self.signal = None
        if not sign:
            return
        self.triggers += 1
        quotient = (2 * self.prediction - mid2) / mid2
        strength = floor(max(-1e9, min(1e9, quotient * 1e6)) + 0.5)
        confidence = floor(min(1.0, abs(quotient) / (2 * self.p.divergence_threshold)) * 1e6 + 0.5)
        self.last = (strength, confidence)
        if self.signal:
            self.signal |= {"strength": strength, "confidence": confidence}
        else:
            self.signals += 1
            self.signal = {
                "sign": sign,
                "started": now,
                "first_entry": 0,
                "strength": strength,
                "confidence": confidence,
            }
            self.say(OrderKind.SIGNAL, now)
        if not self.sends():
            return
        if None not in self.trades:
            self.passed += 1
            return
        place = self.trades.index(None)
        self.trades[place] = {"sign": sign, "lots": 0, "until": now + self.p.hold_ns}
        self.intents += 1
        size = self.p.size_ppm[regime_of(self.mids2[-WINDOW - 1 :], self.p.volatile_at, self.p.trend_at)]
        self.emit_order(now, "entry", Side.BUY if sign > 0 else Side.SELL, Tif.IOC, 0, None, *self.last,
                        OrderType.MARKET, size, place=place)  # fmt: skip

    def close(self, f, now):
        later = [NEVER_NS if self.next_ns is None else self.next_ns]
        for place, trade in enumerate(self.trades):
            if not trade:
                continue
            if now < trade["until"]:
                later.append(trade["until"])
            elif trade["lots"] > 0 and not self.at_work(place, ("close",)):
                if self.intents == MAX_INTENTS:
                    later.append(now + 1)
                    continue
                self.intents += 1
                if f and self.sends():
                    self.emit_order(now, "close", Side.SELL if trade["sign"] > 0 else Side.BUY, Tif.IOC, 0, trade["lots"],
                                    *self.last, OrderType.MARKET, place=place)  # fmt: skip
        self.wake_ns = min(later)
