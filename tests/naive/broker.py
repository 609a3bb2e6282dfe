"""The paper exchange from its description: lists, dicts and sorted, one small method a rule.

Reports are dicts with the names of REPORT or ACCOUNT. Risk is the real gate on a record of its own: it has its own twin.
"""

import numpy as np

from ringsim.broker.latency import ENTRY, RESPONSE, LatencyModel
from ringsim.broker.queue import QueueModel
from ringsim.limits import (
    IN_FLIGHT_CANCELS,
    MAX_ACCOUNT_NOTIONAL,
    MAX_IN_FLIGHT,
    MAX_NOTIONAL,
    MAX_OPEN_ORDERS,
    MAX_PRICE_TICKS,
    MAX_QTY_LOTS,
    MAX_STRATEGIES,
    TAKEN_LEVELS,
)
from ringsim.records import (
    NEVER_NS,
    ControlCode,
    EventFlag,
    EventKind,
    Liquidity,
    OrderKind,
    OrderType,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Status,
    Tif,
    Trading,
    Verdict,
)
from ringsim.risk.gate import (
    DAY_NS,
    RISK,
    risk_account,
    risk_control,
    risk_day_realized,
    risk_halt,
    risk_judge,
    risk_open,
    risk_round_trip,
)
from tests.naive import adverse, queue
from tests.naive.book import NaiveBook
from tests.naive.latency import Way, latency
from tests.naive.ledger import NaiveLedger
from tests.naive.slippage import slipped

READY, RUNNING = 2, 0


def opposite(side):
    return Side.SELL if side == Side.BUY else Side.BUY


def meets(side, px, other):
    """An order on `side` at px can trade at `other`; px None: at any price."""
    return px is None or (px >= other if side == Side.BUY else px <= other)


class Share:
    """What one strategy has of the account. past: UTC day and net result of each of its fills."""

    def __init__(self, cash0):
        self.ledger = NaiveLedger(cash0)
        self.past = []
        self.told = self.last_order_id = 0

    def net(self):
        return self.ledger.realized - self.ledger.fees

    def day_realized(self, day):
        return self.net() - next((net for then, net in reversed(self.past) if then < day), 0)


class NaiveBroker:
    def __init__(self, params, rows=((), ()), values=(0, 0)):
        """rows, values: [(at, ns)] of either direction, and of how many values, for a latency model that looks them up."""
        self.p, self.measured, self.way = params, (rows, values), Way()
        self.began = NEVER_NS if params.realtime else 0
        self.book = NaiveBook()
        self.ledger = NaiveLedger(params.cash0)
        self.shares = [Share(params.cash0) for _ in range(MAX_STRATEGIES)]
        self.risk = np.zeros(1, RISK).view(np.recarray)[0]
        risk_open(self.risk, params.limits, params.cash0, params.utc_offset_ns)
        self.resting = []  # oldest first
        self.flying = []  # records on their way, oldest first
        self.taken = {}  # (side, px): lots
        self.last_id = {}
        self.passed = []  # window of each order that the venue's rate has counted
        self.newest = 0  # highest number of an order that was displayed
        self.lifecycle, self.run = READY, RUNNING
        self.snapshot_at = self.expire_at = NEVER_NS
        self.over = self.half_message = False
        self.last_due = self.last_delivery = 0
        self.entries = self.responses = 0
        self.mark = 0
        self.last_order_id = 0
        self.out = []
        self.touched = False
        self.cause = (-1, 0)

    def session(self, time_ns):
        """A time of our clock as the session's."""
        num, den = self.p.speed
        return self.p.first_ns + (0 if self.began == NEVER_NS else (time_ns - self.began) * num // den)

    def look(self, now):
        """How far has the mid gone, between two messages?"""
        if self.p.latency_model == LatencyModel.VOLATILITY and not self.half_message:
            bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
            self.way.look(bid + ask if self.valid and bid and ask else 0, now)

    # What goes out

    def delivery(self, now):
        delay = latency(self.p, RESPONSE, self.responses, self.session(now), *self.measured, self.way.cbps())
        self.responses += 1
        self.last_delivery = max(self.last_delivery, now + delay)
        return self.last_delivery

    def tell(self, kind, reason, now, **fields):
        report = {
            "kind": kind,
            "reason": reason,
            "symbol": self.p.symbol,
            "trigger_seq": self.cause[0],
            "trigger_ns": self.cause[1],
            "deliver_ns": self.delivery(now),
        }
        self.out.append(report | fields)

    def about(self, order, record=None, now=None):
        """An order's own fields; with `record` the times and kind of the record that is answered."""
        times = record or order
        return {
            "order_id": order["order_id"],
            "strategy": order["strategy"],
            "symbol": order["symbol"],
            "side": order["side"],
            "type": order["type"],
            "tif": order["tif"],
            "status": order["status"],
            "px_ticks": order["px_ticks"],
            "qty_lots": order["qty_lots"],
            "left_lots": order["left"],
            "order_trigger_ns": times["trigger_ns"],
            "created_ns": times["created_ns"],
            "received_ns": times["received_ns"],
            "acted_ns": order["acted_ns"] if record is None else now,
            "order_kind": record["kind"] if record else OrderKind.NEW,
            "flag_bits": ReportFlag.RETURNS_CREDIT if record else 0,
        }

    def bare(self, record, now):
        """A record that is answered without an order of ours."""
        fields = {
            "strategy": record["strategy"],
            "symbol": record["symbol"],
            "order_kind": record["kind"],
            "order_trigger_ns": record["trigger_ns"],
            "created_ns": record["created_ns"],
            "received_ns": record["received_ns"],
            "acted_ns": now,
            "flag_bits": ReportFlag.RETURNS_CREDIT,
        }
        if record["kind"] != OrderKind.SNAPSHOT:
            fields |= {
                "order_id": record["order_id"] if record["order_id"] > 0 else record["target_id"],
                **{k: record[k] for k in ("px_ticks", "qty_lots", "side", "type", "tif")},
            }
        return fields

    def account(self, now, flags=0):
        for number, share in enumerate(self.shares[: self.p.strategies] if self.p.strategies > 1 else []):
            fills = len(share.ledger.fills)
            if flags or fills > share.told:
                share.told = fills
                theirs = sum(o["strategy"] == number for o in self.resting)
                day_realized = share.day_realized(self.day(now))
                self.tell_ledger(now, flags, number, share.ledger, share.last_order_id, theirs, day_realized)
        day_realized = int(risk_day_realized(self.risk))
        self.tell_ledger(now, flags, self.number, self.ledger, self.last_order_id, len(self.resting), day_realized)

    @property
    def number(self):
        """What the account's own reports carry as their strategy."""
        return self.p.strategies if self.p.strategies > 1 else 0

    def day(self, now):
        return (now + self.p.utc_offset_ns) // DAY_NS

    def tell_ledger(self, now, flags, strategy, ledger, order_id, open_orders, day_realized):
        self.tell(
            ReportKind.ACCOUNT,
            int(self.risk.halt_reason),
            now,
            strategy=strategy,
            order_id=order_id,
            time_ns=now,
            cash=ledger.cash,
            realized=ledger.realized,
            unrealized=ledger.unrealized(self.mark),
            fees=ledger.fees,
            mark_ticks=self.mark,
            position_lots=ledger.position,
            cost=ledger.open_cost,
            open_orders=open_orders,
            trading=int(self.risk.trading),
            fills=len(ledger.fills),
            day_realized=day_realized,
            flag_bits=flags,
        )

    # The book and what is known from it

    @property
    def valid(self):
        return self.book.state == "valid"

    def see_mark(self):
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        if self.valid and bid and ask:
            self.mark = (bid + ask) // 2
        return self.mark

    def priority(self, side):
        """Our resting orders of a side, best price first, then oldest (sorted is stable)."""
        mine = [o for o in self.resting if o["side"] == side]
        return sorted(mine, key=lambda o: -o["px_ticks"] if side == Side.BUY else o["px_ticks"])

    def working(self, side):
        return sum(o["left"] for o in self.resting if o["side"] == side)

    def walk(self, side, px, qty):
        """[(level price, lots)] that an order could have now; and whether it stopped although it could go on."""
        other, found, places = opposite(side), [], TAKEN_LEVELS - len(self.taken)
        for level in self.book.prices(other):
            if qty == 0 or not meets(side, px, level):
                break
            if self.p.whole_fills:
                return [(level, qty)], False
            lots = min(qty, max(0, self.book.qty(other, level) - self.taken.get((other, level), 0)))
            if lots:
                if (other, level) not in self.taken:
                    if places == 0:
                        return found, True
                    places -= 1
                found.append((level, lots))
                qty -= lots
        return found, False

    def remember(self, side, px, lots):
        if not self.p.whole_fills:
            self.taken[side, px] = self.taken.get((side, px), 0) + lots

    # Fills and halts

    @property
    def halted(self):
        return self.risk.trading == Trading.HALTED

    def fill(self, order, px, lots, liquidity, now, seq=None):
        """Returns whether trading goes on."""
        rate = self.p.maker_cbps if liquidity == Liquidity.MAKER else self.p.taker_cbps
        fee = (px * lots * rate + 500_000) // 1_000_000
        before = self.ledger.position
        self.ledger.fill(order["side"], px, lots, fee)
        share = self.shares[order["strategy"]]
        share.ledger.fill(order["side"], px, lots, fee)
        share.last_order_id = order["order_id"]
        share.past.append((self.day(now), share.net()))
        order["left"] -= lots
        order["filled_seq"] = seq
        order["status"] = Status.PARTIAL if order["left"] else Status.FILLED
        self.touched, self.last_order_id = True, order["order_id"]
        fields = self.about(order) | {
            "px_ticks": px, "qty_lots": lots, "fee": fee, "liquidity": liquidity, "filled_ns": now
        }  # fmt: skip
        self.tell(ReportKind.FILL, 0, now, **fields)
        if not order["left"]:
            self.resting = [o for o in self.resting if o is not order]
        if not self.see_mark():
            self.mark = px
        net = self.ledger.realized - self.ledger.fees
        reason = int(risk_account(self.risk, now, net, self.ledger.equity(self.mark)))
        after = self.ledger.position
        if before * after < 0 or (before and not after):
            reason = reason or int(risk_round_trip(self.risk, net))
        if reason:
            self.halt(reason, now)
        return not reason

    def cancel(self, order, reason, now, record=None):
        order["status"] = Status.CANCELLED
        self.resting = [o for o in self.resting if o is not order]
        self.tell(ReportKind.CANCELLED, reason, now, **self.about(order, record, now))

    def cancel_everything(self, reason, now):
        for side in (Side.BUY, Side.SELL):
            for order in self.priority(side):
                self.cancel(order, reason, now)
        for record in [r for r in self.flying if r["kind"] == OrderKind.NEW]:
            self.flying.remove(record)
            self.see_id(record)
            order = self.new_order(record, now)
            order["status"] = Status.CANCELLED
            fields = self.about(order) | {"flag_bits": ReportFlag.RETURNS_CREDIT}
            self.tell(ReportKind.CANCELLED, reason, now, **fields)

    def halt(self, reason, now):
        risk_halt(self.risk, reason)
        self.touched = True
        self.tell(ReportKind.HALTED, reason, now, strategy=self.number, acted_ns=now)
        self.cancel_everything(reason, now)

    def finish(self, now):
        if self.touched:
            self.see_mark()
            self.account(now)
            self.touched = False
        out, self.out = self.out, []
        return out

    # Market

    def market(self, ev, seq, now):
        """ev: dict of MARKET_EVENT fields. Returns the reports."""
        self.look(now)
        kind, flags = ev["kind"], ev["flag_bits"]
        if (ev["symbol"] != self.p.symbol or flags & EventFlag.STRATEGY_ONLY) and kind != EventKind.CONTROL:
            return []
        self.cause = (seq, ev["recv_ns"])
        last = bool(flags & EventFlag.LAST)
        ready = False
        if kind == EventKind.LEVEL:
            ready = self.level(ev)
        elif kind == EventKind.TRADE:
            ready = last and self.valid
            if self.valid and ev["qty_lots"] > 0 and ev["side"] in (1, 2):
                self.trade(Side(ev["side"]), ev["px_ticks"], ev["qty_lots"], ev["id"], seq, now)
        elif kind in (EventKind.QUOTE, EventKind.PREDICTION):
            ready = last and self.valid
        elif kind == EventKind.CONTROL:
            self.control(ev, now)
        else:
            ready = self.snapshot(ev, now)
        if ready:
            for side in (Side.BUY, Side.SELL):
                self.cross(side, seq, now)
        if kind == EventKind.LEVEL and not last:
            self.half_message = True
        elif last or kind in (EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END, EventKind.GAP):
            self.half_message = False
        return self.finish(now)

    def level(self, ev):
        side, px = Side(ev["side"]), ev["px_ticks"]
        live = self.valid and not ev["flag_bits"] & EventFlag.REFRESH
        self.newest = max(self.newest, ev["id"])
        before = self.book.qty(side, px)
        ready = self.book.fold(ev["kind"], side, px, ev["qty_lots"], ev["flag_bits"])
        if live:
            after = self.book.qty(side, px)
            for order in self.resting:
                if (order["side"], order["px_ticks"]) != (side, px):
                    continue
                if self.p.queue_model == QueueModel.FIFO:
                    order["front"] = queue.fifo_front(order["front"], order["newest"], ev["id"], before, after)
                else:
                    order["front"] = queue.depth(
                        self.p.queue_model, self.p.queue_n, order["front"], order["traded"], before, after
                    )
                    order["traded"] = 0
            if (side, px) in self.taken:
                self.taken[side, px] = min(self.taken[side, px], after)
                if after == 0:
                    del self.taken[side, px]
        return ready

    def trade(self, aggressor, px, qty, number, seq, now):
        ours = opposite(aggressor)
        had = 0
        for order in self.priority(ours):
            at = order["px_ticks"]
            if at == px and self.p.queue_model == QueueModel.FIFO:
                reach = queue.fifo_executable(order["front"], order["newest"], number, qty)
            elif at == px:
                order["front"] -= qty
                order["traded"] += qty
                reach = min(queue.executable(order["front"]), qty)
                if reach:
                    order["front"] = 0.0
                left, facing = self.book.qty(ours, px) - order["traded"], self.book.best(aggressor)
                if not self.p.whole_fills and adverse.others_had(self.p, left, self.book.qty(aggressor, facing), seq):
                    reach = 0
            else:
                reach = qty if (at > px if ours == Side.BUY else at < px) else 0
            if self.p.whole_fills:
                lots = order["left"] if reach else 0
            else:
                lots = min(reach - had, order["left"])
            if lots > 0:
                had += lots
                if not self.fill(order, at, lots, Liquidity.MAKER, now, seq):
                    return

    def cross(self, side, seq, now):
        if self.halted:
            return
        for order in self.priority(side):
            if order["filled_seq"] == seq:
                continue
            found, _ = self.walk(side, order["px_ticks"], order["left"])
            for level, lots in found:
                self.remember(opposite(side), level, lots)
            total = sum(lots for _, lots in found)
            if total and not self.fill(order, order["px_ticks"], total, Liquidity.MAKER, now, seq):
                return

    def snapshot(self, ev, now):
        before = self.valid
        self.see_mark()
        ready = self.book.fold(ev["kind"], 0, 0, 0, ev["flag_bits"])
        if self.valid and not before:
            for order in self.resting:
                order["front"] = min(order["front"], self.book.qty(order["side"], order["px_ticks"]))
                order["traded"] = 0
            self.taken = {}
            every = self.p.snapshot_interval_ns
            if every and self.snapshot_at == NEVER_NS and self.expire_at == NEVER_NS and not self.over:
                self.snapshot_at = (now // every + 1) * every
        return ready

    def control(self, ev, now):
        code, value = ev["code"], ev["qty_lots"]
        if code == ControlCode.LIFECYCLE:
            self.lifecycle = value
        elif code == ControlCode.RUN:
            self.run = value
        elif code == ControlCode.CLOCK:
            self.began = value
        elif code == ControlCode.TRADING and value == Trading.HALTED:
            if not self.halted:
                self.halt(Reason.KILL_SWITCH, now)
        elif code == ControlCode.TRADING:
            risk_control(self.risk, value)
        elif code == ControlCode.END_OF_FEED and self.expire_at == NEVER_NS and not self.over:
            self.expire_at = now if value == 1 else now + self.p.expiry_ns
            self.end = self.cause
            self.half_message = False

    # Orders

    def order(self, record, now):
        """record: dict of ORDER fields. Returns the reports."""
        self.look(now)
        self.cause = (record["trigger_seq"], record["trigger_ns"])
        record = dict(record, received_ns=now)
        kind = record["kind"]
        if kind in (OrderKind.NEW, OrderKind.CANCEL, OrderKind.CANCEL_ALL, OrderKind.REPLACE):
            room = MAX_IN_FLIGHT
            if kind in (OrderKind.NEW, OrderKind.REPLACE):
                room -= IN_FLIGHT_CANCELS
            if self.over:
                self.turn_away(record, Reason.END_OF_FEED, now)
            elif len(self.flying) >= room:
                self.turn_away(record, Reason.IN_FLIGHT, now)
            else:
                delay = latency(
                    self.p, ENTRY, self.entries, self.session(record["created_ns"]), *self.measured, self.way.cbps()
                )
                self.entries += 1
                self.last_due = max(self.last_due, record["created_ns"] + delay, now)
                self.flying.append(record | {"due": self.last_due})
        elif OrderKind.REFUSED <= kind <= OrderKind.SNAPSHOT:
            reason = record["reason"] if kind == OrderKind.REFUSED else 0
            self.tell(ReportKind.NOTED, reason, now, **self.bare(record, now))
        else:
            self.turn_away(record, Reason.BAD_ORDER, now)
        return self.finish(now)

    def turn_away(self, record, reason, now):
        kind = {
            OrderKind.CANCEL_ALL: ReportKind.NOTED,
            OrderKind.CANCEL: ReportKind.CANCEL_REJECTED,
            OrderKind.REPLACE: ReportKind.CANCEL_REJECTED,
        }.get(record["kind"], ReportKind.REJECTED)
        self.tell(kind, reason, now, **self.bare(record, now))

    # Time

    @property
    def timer_ns(self):
        if self.half_message:
            return NEVER_NS
        return min([r["due"] for r in self.flying[:1]] + [self.snapshot_at, self.expire_at])

    def timer(self, now):
        self.look(now)
        due = self.timer_ns
        if due > now:
            return []
        if self.flying and self.flying[0]["due"] == due:
            self.act(self.flying.pop(0), now)
        elif self.snapshot_at == due:
            every = self.p.snapshot_interval_ns
            self.snapshot_at = (now // every + 1) * every
            self.cause = (-1, 0)
            self.account_now(now, ReportFlag.PERIODIC)
        else:
            self.cause = self.end
            self.cancel_everything(Reason.END_OF_FEED, now)
            while self.flying:
                record = self.flying.pop(0)
                self.cause = (record["trigger_seq"], record["trigger_ns"])
                self.turn_away_later(record, Reason.END_OF_FEED, now)
            self.cause = self.end
            self.over = True
            self.snapshot_at = self.expire_at = NEVER_NS
            self.account_now(now, ReportFlag.FINAL)
        return self.finish(now)

    def account_now(self, now, flag):
        self.see_mark()
        net = self.ledger.realized - self.ledger.fees
        reason = int(risk_account(self.risk, now, net, self.ledger.equity(self.mark)))
        if reason:
            self.halt(reason, now)
            self.touched = False
        self.account(now, flag)

    def turn_away_later(self, record, reason, now):
        """As turn_away, of a record that was in flight: what it is about is its target."""
        all_of_them = record["kind"] == OrderKind.CANCEL_ALL
        fields = self.bare(record, now) | {"order_id": record["target_id"]}
        self.tell(ReportKind.NOTED if all_of_them else ReportKind.CANCEL_REJECTED, reason, now, **fields)

    # At the exchange

    def act(self, record, now):
        self.cause = (record["trigger_seq"], record["trigger_ns"])
        if record["kind"] == OrderKind.NEW:
            self.act_new(record, now)
        elif record["kind"] == OrderKind.CANCEL_ALL:
            for side in (Side.BUY, Side.SELL):
                for order in self.priority(side):
                    if order["strategy"] == record["strategy"]:
                        self.cancel(order, Reason.ASKED, now)
            fields = self.bare(record, now) | {"order_id": record["target_id"]}
            self.tell(ReportKind.NOTED, 0, now, **fields)
        else:
            order = self.find(record)
            if order is None:
                self.turn_away_later(record, Reason.UNKNOWN_ORDER, now)
            elif record["kind"] == OrderKind.CANCEL:
                self.cancel(order, Reason.ASKED, now, record)
            else:
                self.replace(order, record, now)

    def find(self, record):
        for order in self.resting:
            if (order["strategy"], order["order_id"]) == (record["strategy"], record["target_id"]):
                return order
        return None

    def new_order(self, record, now):
        return dict(
            record, left=record["qty_lots"], status=Status.PENDING, acted_ns=now, filled_seq=None, front=0.0, traded=0
        )

    def see_id(self, record):
        if not 0 <= record["strategy"] < MAX_STRATEGIES:
            return True
        known = self.last_id.get(record["strategy"], 0)
        self.last_id[record["strategy"]] = max(known, record["order_id"])
        return record["order_id"] > known

    def not_executing(self):
        if self.lifecycle != READY:
            return Reason.NOT_READY
        return Reason.PAUSED if self.run != RUNNING else 0

    def too_many(self, now):
        window = (now + self.p.utc_offset_ns) // self.p.rate_window_ns
        if self.p.rate_orders and self.passed.count(window) == self.p.rate_orders:
            return Reason.EXCHANGE_RATE
        self.passed.append(window)
        return 0

    def act_new(self, record, now):
        fresh = self.see_id(record)
        order = self.new_order(record, now)
        reason = self.not_executing()
        if reason:
            order["status"] = Status.PROVISIONAL
            fields = self.about(order) | {"flag_bits": ReportFlag.RETURNS_CREDIT}
            self.tell(ReportKind.PROVISIONAL, reason, now, **fields)
            return
        reason = self.too_many(now) or self.nonsense(record, fresh)
        verdict, lots = Verdict.REJECTED, 0
        if not reason:
            verdict, reason, lots = self.judge(order, order["left"], self.working(order["side"]), True, now)
        if verdict == Verdict.REJECTED:
            order["status"] = Status.REJECTED
            fields = self.about(order) | {"flag_bits": ReportFlag.RETURNS_CREDIT}
            self.tell(ReportKind.REJECTED, reason, now, **fields)
            return
        order |= {"qty_lots": lots, "left": lots, "status": Status.OPEN}
        fields = self.about(order) | {"flag_bits": ReportFlag.RETURNS_CREDIT}
        self.tell(ReportKind.ACCEPTED, reason, now, **fields)
        self.settle(order, now)

    def nonsense(self, r, fresh):
        if not 0 <= r["strategy"] < MAX_STRATEGIES or r["order_id"] < 1 or r["side"] not in (1, 2):
            return Reason.BAD_ORDER
        if r["type"] not in (1, 2) or r["tif"] not in (1, 2, 3, 4):
            return Reason.BAD_ORDER
        market = r["type"] == OrderType.MARKET
        if market and r["tif"] == Tif.POST_ONLY:
            return Reason.BAD_ORDER
        if r["symbol"] != self.p.symbol:
            return Reason.BAD_SYMBOL
        if (r["px_ticks"] != 0) if market else not 1 <= r["px_ticks"] <= MAX_PRICE_TICKS:
            return Reason.BAD_PRICE
        if not 1 <= r["qty_lots"] <= MAX_QTY_LOTS:
            return Reason.BAD_QUANTITY
        if not fresh:
            return Reason.DUPLICATE_ID
        if r["px_ticks"] * r["qty_lots"] > MAX_NOTIONAL:
            return Reason.NOTIONAL
        return 0

    def judge(self, order, lots, working, is_new, now):
        side, tif = order["side"], order["tif"]
        no = Verdict.REJECTED
        if not self.valid:
            return no, Reason.NO_BOOK, 0
        market = order["type"] == OrderType.MARKET
        best = self.book.best(opposite(side))
        found, _ = self.walk(side, None if market else order["px_ticks"], lots)
        mark = self.see_mark()
        worst = found[-1][0] if found else 0
        price = (slipped(self.p, side, worst, None) if worst else mark) if market else order["px_ticks"]
        dearest = max([price, 1] + ([best] if found else []))
        if lots * dearest > MAX_NOTIONAL:
            return no, Reason.NOTIONAL, 0
        if tif == Tif.POST_ONLY and best and meets(side, order["px_ticks"], best):
            return no, Reason.WOULD_TAKE, 0
        reach = worst if market else order["px_ticks"]
        if reach and any(meets(side, reach, o["px_ticks"]) for o in self.resting if o["side"] != side):
            return no, Reason.SELF_TRADE, 0
        if tif == Tif.FOK and sum(n for _, n in found) < lots:
            return no, Reason.NOT_FILLABLE, 0
        rests = not market and tif in (Tif.GTC, Tif.POST_ONLY)
        if rests and is_new and len(self.resting) >= MAX_OPEN_ORDERS:
            return no, Reason.OPEN_ORDERS, 0
        held = self.ledger.position
        exposure = (held if side == Side.BUY else -held) + working + lots
        if exposure * max(dearest, mark) > MAX_ACCOUNT_NOTIONAL:
            return no, Reason.NOTIONAL, 0
        buys = working if side == Side.BUY else self.working(Side.BUY)
        sells = working if side == Side.SELL else self.working(Side.SELL)
        verdict, reason, allowed = risk_judge(self.risk, now, side, price, lots, held, buys, sells, mark)
        if verdict == Verdict.ADJUSTED and tif == Tif.FOK:
            return no, int(reason), 0
        return verdict, int(reason), int(allowed)

    def settle(self, order, now):
        market = order["type"] == OrderType.MARKET
        found, stopped = self.walk(order["side"], None if market else order["px_ticks"], order["left"])
        for level, lots in found:
            self.remember(opposite(order["side"]), level, lots)
            price = slipped(self.p, order["side"], level, None if market else order["px_ticks"])
            if not self.fill(order, price, lots, Liquidity.TAKER, now):
                if order["left"]:
                    self.cancel(order, int(self.risk.halt_reason), now)
                return
        if not order["left"]:
            return
        if stopped or market or order["tif"] in (Tif.IOC, Tif.FOK):
            self.cancel(order, Reason.NO_LIQUIDITY, now)
            return
        order["front"] = float(self.book.qty(order["side"], order["px_ticks"]))
        order["traded"], order["newest"] = 0, self.newest
        self.resting.append(order)

    def replace(self, order, record, now):
        px, qty = record["px_ticks"], record["qty_lots"]
        filled = order["qty_lots"] - order["left"]
        reason = 0
        if not 1 <= px <= MAX_PRICE_TICKS:
            reason = Reason.BAD_PRICE
        elif not 1 <= qty <= MAX_QTY_LOTS:
            reason = Reason.BAD_QUANTITY
        elif px * qty > MAX_NOTIONAL:
            reason = Reason.NOTIONAL
        elif qty <= filled:
            reason = Reason.BAD_QUANTITY
        if not reason and px == order["px_ticks"] and qty <= order["qty_lots"]:
            order |= {"qty_lots": qty, "left": qty - filled}
            self.tell(ReportKind.REPLACED, 0, now, **self.about(order, record, now))
            return
        reason = reason or self.not_executing() or self.too_many(now)
        verdict, lots = Verdict.REJECTED, 0
        if not reason:
            working = self.working(order["side"]) - order["left"]
            verdict, reason, lots = self.judge(order | {"px_ticks": px}, qty - filled, working, False, now)
        if verdict == Verdict.REJECTED:
            self.tell(ReportKind.CANCEL_REJECTED, reason, now, **self.about(order, record, now))
            return
        self.resting = [o for o in self.resting if o is not order]
        order |= {"px_ticks": px, "qty_lots": filled + lots, "left": lots}
        self.tell(ReportKind.REPLACED, reason, now, **self.about(order, record, now))
        self.settle(order, now)
