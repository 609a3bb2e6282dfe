"""The scripted strategy by its rules, in the naive stage: rows as dicts, times as fractions."""

from fractions import Fraction
from math import floor

from ringsim.records import NEVER_NS, OrderKind, OrderType, Side, Tif
from ringsim.strategy.protocol import MAX_INTENTS
from tests.naive.strategy import NaiveStrategy


class NaiveScripted(NaiveStrategy):
    """The same stage with a list of orders: every row once, at its time or at the first chance after it."""

    def __init__(self, params, rows, wake_ns=NEVER_NS):
        super().__init__(params)
        self.rows = rows  # dicts by the names of SCHEDULED
        self.sent_rows = 0
        self.began_ns = None if params.realtime else 0
        self.timer_ns = self.wake_ns = wake_ns

    def scaled(self, ns):
        return floor(Fraction(ns) / Fraction(*self.p.speed))

    def due(self, row):
        return NEVER_NS if self.began_ns is None else self.began_ns + self.scaled(row["time_ns"] - self.p.first_ns)

    def observe(self, f, now):
        return 0, 0

    def act(self, cause, f, met, fresh, now):
        if cause == "end":
            return
        intents, later = 0, [NEVER_NS]
        for order in list(self.orders.values()):
            if order["cancel_after"] and not order["cancelling"]:
                due = order["sent_ns"] + self.scaled(order["cancel_after"])
                if due > now or intents == MAX_INTENTS:
                    later.append(due)
                    continue
                intents += 1
                order["cancelling"] = True
                self.emit(OrderKind.CANCEL, now, target_id=order["id"], side=order["side"])
        while self.sent_rows < len(self.rows):
            row = self.rows[self.sent_rows]
            if self.due(row) > now or intents == MAX_INTENTS:
                later.append(self.due(row))
                break
            intents += 1
            self.sent_rows += 1
            if row["cancel_after_ns"]:
                later.append(now + self.scaled(row["cancel_after_ns"]))
            self.emit_order(
                now, "once", Side(row["side"]), Tif(row["tif"]), row["px_ticks"], row["qty_lots"], 0, 0,
                OrderType(row["type"]), cancel_after=row["cancel_after_ns"], sent_ns=now,
            )  # fmt: skip
        self.wake_ns = min(later)
