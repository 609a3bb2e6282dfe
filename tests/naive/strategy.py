"""The strategy stage by its rules: dicts and lists, histories kept whole, every sum added up anew when it is asked for.

Made of the other naive twins (book, features, gate, ledger). Inputs are records of the rings; each input returns what it
emits as a list of dicts: the fields of ORDER that are not 0; of a SNAPSHOT its features under `features`.
"""

from decimal import Decimal, getcontext
from math import ceil, floor

from ringsim.control import RunState
from ringsim.lifecycle import Lifecycle
from ringsim.limits import CANCEL_ALL_CREDITS, CREDITS, OWN_ORDERS
from ringsim.records import (
    NEVER_NS,
    ControlCode,
    EventFlag,
    EventKind,
    GapCode,
    OrderFlag,
    OrderKind,
    OrderType,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Tif,
    Trading,
    Verdict,
)
from ringsim.strategy.protocol import MAX_INTENTS
from tests.naive.book import NaiveBook
from tests.naive.features import NaiveFeatures
from tests.naive.ledger import NaiveLedger
from tests.naive.risk import NaiveGate

getcontext().prec = 60
SECOND = 1_000_000_000
PRICE_MATTERS = {
    Reason.INTENT,
    Reason.NOTIONAL,
    Reason.PRICE_COLLAR,
    Reason.WOULD_TAKE,
    Reason.NO_LIQUIDITY,
    Reason.NOT_FILLABLE,
}


def confidence_ppm(imbalance, threshold, streak, agrees):
    value = 0.5 * min(1.0, abs(imbalance) / (2 * threshold)) + 0.3 * min(1.0, streak / 10) + (0.2 if agrees else 0.0)
    return floor(value * 1e6 + 0.5)


def end_ns(renewed_ns, confidence, minimum, decay_ns):
    """First ns at which confidence * 2**(-(t - renewed) / decay) < minimum."""
    if minimum == 0:
        return NEVER_NS
    if confidence < minimum:
        return renewed_ns
    halvings = (Decimal(confidence) / Decimal(minimum)).ln() / Decimal(2).ln()
    return renewed_ns + floor(round(decay_ns * halvings, 20)) + 1


class NaiveStrategy:
    def __init__(self, params):
        self.p = params
        self.book = NaiveBook()
        self.features = NaiveFeatures(params.feature_window_ns, params.feature_store)
        self.gate = NaiveGate(params.limits, params.capital, params.utc_offset_ns)
        self.ledger = NaiveLedger(params.capital)
        self.signs = []  # of every book message since the book was last lost: +1, -1 where |imbalance| >= threshold, else 0
        self.signal = None
        self.signals = 0
        self.last = (0, 0)  # strength and confidence of the last renewal, of whatever signal
        self.entry_signal = 0
        self.orders = {}  # at work, by id
        self.sent = 0
        self.unanswered = 0
        self.cancel_alls = 0
        self.cancel_all_due = False
        self.refusals = {}  # tag -> what is held back
        self.retry_ns = NEVER_NS
        self.lifecycle, self.run = Lifecycle.READY, RunState.RUNNING
        self.account = Trading.ACTIVE
        self.account_reason = Reason.NONE
        self.mark = 0
        self.prediction = 0
        self.best = {}  # last seen, by side
        self.trigger = (-1, 0)
        self.snapshot_ns = NEVER_NS
        self.snapshots = 0
        self.starved = False
        self.wake_ns = NEVER_NS
        self.ended = False
        self.cause = None  # why it was asked last
        self.timer_ns = NEVER_NS
        self.out = []

    # What it knows

    @property
    def credits(self):
        return CREDITS - self.unanswered

    def working(self, side):
        return sum(o["left"] for o in self.orders.values() if o["side"] == side)

    def own(self, tag):
        return next((o for o in self.orders.values() if o["tag"] == tag), None)

    def halted_or_reducing(self):
        return self.gate.trading != Trading.ACTIVE or self.account != Trading.ACTIVE

    # What it emits

    def emit(self, kind, now, **fields):
        record = {
            "kind": kind,
            "strategy": self.p.strategy,
            "symbol": self.p.symbol,
            "trigger_seq": self.trigger[0],
            "trigger_ns": self.trigger[1],
            "created_ns": now,
        }
        if self.cause in ("book", "prediction") and kind != OrderKind.SNAPSHOT:
            record["flag_bits"] = OrderFlag.BY_TICK
        self.out.append(record | fields)
        if kind != OrderKind.CANCEL_ALL:
            self.unanswered += 1

    def emit_snapshot(self, now):
        if self.credits < 1:
            return
        self.snapshots += 1
        seen = dict(self.features.now or {})
        seen["sample"] = self.features.count
        self.emit(OrderKind.SNAPSHOT, now, features=seen, position_lots=self.ledger.position)

    def sends(self):
        return self.lifecycle in (Lifecycle.READY, Lifecycle.DEGRADED) and self.run == RunState.RUNNING

    def why_not(self):
        if self.lifecycle not in (Lifecycle.READY, Lifecycle.DEGRADED):
            return Reason.NOT_READY
        return Reason.NO_BOOK if self.run == RunState.RUNNING else Reason.PAUSED

    def emit_order(self, now, tag, side, tif, px, asked, strength, confidence, type_=OrderType.LIMIT, size_ppm=1_000_000,
                   **more):  # fmt: skip
        held = self.refusals.get(tag)
        if held and now < held["until"] and held["side"] == side and held["px"] in (None, px):
            self.retry_ns = min(self.retry_ns, held["until"])
            return
        position, buys, sells = self.ledger.position, self.working(Side.BUY), self.working(Side.SELL)
        if asked is None:
            price = px or self.mark
            reach = (self.p.limits.max_intent or 10**5) // price + abs(position) + 1
            room = self.gate.headroom(side, price, position, buys, sells, reach)
            share = max(1, self.p.order_size_ppm * size_ppm // 1_000_000)
            asked = max(1, floor(room * share / 1_000_000))
        reducible = -position - buys if side == Side.BUY else position - sells
        if not self.sends() or not self.features.now:
            verdict, reason, lots = Verdict.REJECTED, self.why_not(), 0
        elif len(self.orders) >= OWN_ORDERS:
            verdict, reason, lots = Verdict.REJECTED, Reason.OPEN_ORDERS, 0
        elif self.account == Trading.HALTED:
            verdict, reason, lots = Verdict.REJECTED, self.account_reason, 0
        elif self.account == Trading.REDUCING and reducible < 1:
            verdict, reason, lots = Verdict.REJECTED, Reason.REDUCING, 0
        else:
            verdict, reason, lots = self.gate.judge(now, side, px, asked, position, buys, sells, self.mark)
        closes = tag == "close"
        fields = {
            "px_ticks": px,
            "qty_lots": lots,
            "asked_lots": asked,
            "side": side,
            "type": type_,
            "tif": tif,
            "verdict": verdict,
            "reason": reason,
            "signal_id": self.entry_signal if closes else self.signals,
            "strength_ppm": strength,
            "confidence_ppm": confidence,
        }
        if verdict == Verdict.REJECTED:
            self.emit(OrderKind.REFUSED, now, **fields)
            again = now + SECOND
            if reason == Reason.ORDER_RATE:
                again = now + ceil((1 - self.gate.bucket) * SECOND / self.p.limits.orders_per_second)
            if tag != "once":
                self.hold(tag, side, px, reason, again)
                self.retry_ns = min(self.retry_ns, self.refusals[tag]["until"])
            return
        self.sent += 1
        flags = (OrderFlag.CLOSES if closes else 0) | (OrderFlag.REDUCES if lots <= reducible else 0)
        self.emit(OrderKind.NEW, now, order_id=self.sent, **fields)
        self.out[-1]["flag_bits"] = self.out[-1].get("flag_bits", 0) | flags
        if not closes:
            self.entry_signal = self.signals
        if tag == "entry":
            self.signal["first_entry"] = self.signal["first_entry"] or now
        self.orders[self.sent] = {
            "id": self.sent, "side": side, "px": px, "qty": lots, "left": lots, "tag": tag, "cancelling": False,
            "signal": fields["signal_id"], **more,
        }  # fmt: skip

    def hold(self, tag, side, px, reason, until):
        by_state = self.halted_or_reducing()
        self.refusals[tag] = {
            "side": side,
            "px": px if reason in PRICE_MATTERS and not by_state else None,
            "until": NEVER_NS if by_state else until,
            "by_state": by_state,
        }

    def let_go(self, everything):
        self.refusals = {t: h for t, h in self.refusals.items() if h["by_state"] and not everything}

    # What it decides

    def ask(self, cause, now):
        self.cause = cause
        self.retry_ns = NEVER_NS
        may_act = self.credits > (MAX_INTENTS if cause != "end" else 1)
        self.starved = not may_act
        f = self.features.now
        met, fresh = 0, 0
        if cause == "book":
            met, fresh = self.observe(f, now)
        if may_act:
            self.act(cause, f, met, fresh, now)
        if self.cancel_all_due and self.cancel_alls < CANCEL_ALL_CREDITS and cause != "end":
            self.cancel_all_due = False
            if self.orders:
                self.emit(OrderKind.CANCEL_ALL, now)
                self.cancel_alls += 1
                for order in self.orders.values():
                    order["cancelling"] = True
        self.set_timer(now)

    def set_timer(self, now):
        wake = NEVER_NS if self.starved else max(self.wake_ns, now + 1)
        self.timer_ns = min(wake, self.retry_ns, self.snapshot_ns)

    def observe(self, f, now):
        sign = 0
        if f and abs(float(f["imbalance"])) >= self.p.imbalance_threshold:
            sign = 1 if f["imbalance"] > 0 else -1
        self.signs.append(sign)
        if sign == 0 or float(f["spread_bps"]) > self.p.max_spread_bps:
            return 0, 0
        streak = 0
        while streak < len(self.signs) and self.signs[-1 - streak] == sign:
            streak += 1
        agrees = f["move2_ticks"] * sign > 0
        fresh = confidence_ppm(float(f["imbalance"]), self.p.imbalance_threshold, streak, agrees)
        if self.signal and self.signal["sign"] == sign and now < self.signal["end"]:
            self.renew(f, fresh, now)
        return sign, fresh

    def renew(self, f, fresh, now):
        self.signal["strength"] = floor(float(f["imbalance"]) * 1e6 + 0.5)
        self.signal["confidence"] = fresh
        self.signal["end"] = end_ns(now, fresh, self.p.min_confidence_ppm, self.p.signal_decay_ns)
        self.last = (self.signal["strength"], fresh)

    def act(self, cause, f, met, fresh, now):
        signal = self.signal
        if signal and (now >= signal["end"] or met == -signal["sign"] or cause == "end"):
            held = now - (signal["first_entry"] or signal["started"])
            self.emit_signal(OrderKind.SIGNAL_END, now, signal, hold_ns=held)
            self.signal = None
        if self.signal is None and met and fresh >= self.p.min_confidence_ppm and cause != "end":
            self.signal = {"sign": met, "started": now, "first_entry": 0}
            self.renew(f, fresh, now)
            self.signals += 1
            self.emit_signal(OrderKind.SIGNAL, now, self.signal)
        self.wake_ns = self.signal["end"] if self.signal else NEVER_NS
        if cause != "end":
            self.trade(cause, f, now)

    def emit_signal(self, kind, now, signal, **more):
        side = Side.BUY if signal["sign"] > 0 else Side.SELL
        self.emit(kind, now, signal_id=self.signals, side=side, strength_ppm=signal["strength"],
                  confidence_ppm=signal["confidence"], **more)  # fmt: skip

    def trade(self, cause, f, now):
        wanted = 0 if self.signal is None else self.signal["sign"]
        side = {1: Side.BUY, -1: Side.SELL, 0: Side.NONE}[wanted]
        entry = self.own("entry")
        if entry:
            stays = entry["side"] == side and self.best[entry["side"]] == entry["px"]
            if not stays and not entry["cancelling"]:
                entry["cancelling"] = True
                self.emit(OrderKind.CANCEL, now, target_id=entry["id"], signal_id=entry["signal"], side=entry["side"])
            return
        if self.own("close") or f is None or not self.sends():
            return
        position = self.ledger.position
        if position * wanted < 0 or (position and not wanted):
            cross = self.p.close_cross_cbps
            if position > 0:
                px = max(1, f["bid_ticks"] - max(1, f["bid_ticks"] * cross // 1_000_000))
                self.emit_order(now, "close", Side.SELL, Tif.IOC, px, position, *self.last)
            else:
                px = f["ask_ticks"] + max(1, f["ask_ticks"] * cross // 1_000_000)
                self.emit_order(now, "close", Side.BUY, Tif.IOC, px, -position, *self.last)
        elif wanted:
            px = f["bid_ticks" if side == Side.BUY else "ask_ticks"]
            self.emit_order(now, "entry", side, Tif.POST_ONLY, px, None, *self.last)

    # Inputs

    def done(self):
        out, self.out = self.out, []
        return out

    def on_market(self, ev, seq, now):
        if self.ended or ev.flag_bits & EventFlag.EXCHANGE_ONLY:
            return []
        kind = EventKind(ev.kind)
        lapped = kind == EventKind.GAP and ev.code == GapCode.LAPPED
        if ev.symbol != self.p.symbol and kind != EventKind.CONTROL and not lapped:
            return []
        if kind != EventKind.CONTROL and not lapped:
            self.trigger = (seq, int(ev.recv_ns))
        if kind == EventKind.CONTROL:
            self.control(ControlCode(ev.code), int(ev.qty_lots), now)
        elif kind == EventKind.PREDICTION:
            self.prediction = int(ev.px_ticks)
            self.ask("prediction", now)
        elif kind == EventKind.TRADE:
            self.features.trade(int(ev.recv_ns), ev.side, int(ev.qty_lots))
        elif kind in (EventKind.LEVEL, EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END, EventKind.GAP):
            was = self.book.state
            flags = EventFlag(int(ev.flag_bits))
            acts = self.book.fold(kind, int(ev.side), int(ev.px_ticks), int(ev.qty_lots), flags)
            if was == "valid" and self.book.state != "valid":
                self.features.clear()
                self.signs = []
                self.ask("no book", now)
            elif kind == EventKind.LEVEL and acts:
                f = self.features.sample(self.book, int(ev.recv_ns))
                if f:
                    self.mark = (f["bid_ticks"] + f["ask_ticks"]) // 2
                    self.best = {Side.BUY: f["bid_ticks"], Side.SELL: f["ask_ticks"]}
                self.ask("book", now)
                if f and self.snapshots == 0 and self.snapshot_ns == NEVER_NS:
                    self.emit_snapshot(now)
                    self.next_snapshot(now)
                    self.set_timer(now)
        return self.done()

    def next_snapshot(self, now):
        interval = self.p.snapshot_interval_ns
        self.snapshot_ns = (now // interval + 1) * interval if interval else NEVER_NS

    def control(self, code, value, now):
        if code == ControlCode.END_OF_FEED:
            self.ask("end", now)
            self.emit_snapshot(now)
            self.ended, self.timer_ns = True, NEVER_NS
            return
        if code == ControlCode.LIFECYCLE:
            self.lifecycle = Lifecycle(value)
        elif code == ControlCode.RUN:
            self.run = RunState(value)
        elif code == ControlCode.CLOCK:
            self.began_ns = value
        elif code == ControlCode.TRADING:
            self.gate.control(Trading(value))
            if value == Trading.ACTIVE:
                self.account, self.account_reason = Trading.ACTIVE, Reason.NONE
        self.let_go(everything=True)
        self.ask("control", now)

    def tell_gate(self, now, mark, trip_ended=False):
        before, net = self.gate.trading, self.ledger.realized - self.ledger.fees
        equity = self.ledger.cash0 + net + self.ledger.position * mark - self.ledger.open_cost
        self.gate.account(now, net, equity)
        if trip_ended:
            self.gate.round_trip(net)
        if self.gate.trading == before:
            return False
        self.cancel_all_due = self.cancel_all_due or self.gate.trading == Trading.HALTED
        self.let_go(everything=True)
        return True

    def account_says(self, trading, reason):
        if trading == self.account:
            return False
        self.account, self.account_reason = trading, reason
        self.let_go(everything=True)
        return True

    def on_report(self, rep, acc, now):
        kind = ReportKind(rep.kind)
        if rep.strategy in range(self.p.strategies) and rep.strategy != self.p.strategy:
            return []
        if kind == ReportKind.ACCOUNT:
            changed = self.account_says(Trading(acc.trading), Reason(acc.reason))
        elif kind == ReportKind.HALTED:
            changed = self.account_says(Trading.HALTED, Reason(rep.reason))
        elif rep.strategy != self.p.strategy:
            return []
        else:
            if rep.flag_bits & ReportFlag.RETURNS_CREDIT:
                if rep.order_kind == OrderKind.CANCEL_ALL:
                    self.cancel_alls -= 1
                else:
                    self.unanswered -= 1
            changed = self.own_report(kind, rep, now)
        if not self.ended and (changed or (self.starved and self.credits > MAX_INTENTS)):
            self.ask("report", now)
        return self.done()

    def own_report(self, kind, rep, now):
        order = self.orders.get(int(rep.order_id))
        if kind == ReportKind.ACCEPTED:
            if order and order["left"] != rep.left_lots:
                order["qty"] = int(rep.qty_lots)
                self.left(order, int(rep.left_lots))
            return False
        if kind == ReportKind.FILL:
            before = self.ledger.position
            self.ledger.fill(Side(rep.side), int(rep.px_ticks), int(rep.qty_lots), int(rep.fee))
            after = self.ledger.position
            self.tell_gate(
                now, self.mark or int(rep.px_ticks), bool(before) and (not after or (after > 0) != (before > 0))
            )
            self.let_go(everything=False)
            if order:
                self.left(order, int(rep.left_lots))
            return True
        if kind in (ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.PROVISIONAL):
            self.let_go(everything=False)
            if order:
                if order["tag"] != "once" and rep.reason != Reason.ASKED and order["left"] == order["qty"]:
                    self.hold(order["tag"], order["side"], order["px"], Reason(rep.reason), now + SECOND)
                self.left(order, 0)
            return True
        if kind == ReportKind.CANCEL_REJECTED:
            if order:
                order["cancelling"] = False
                if rep.reason == Reason.UNKNOWN_ORDER:
                    self.left(order, 0)
            return True
        return False

    def left(self, order, lots):
        order["left"] = lots
        if lots == 0:
            del self.orders[order["id"]]

    def on_timer(self, now):
        if self.ended:
            self.timer_ns = NEVER_NS
            return []
        due = now >= self.snapshot_ns
        changed = due and self.tell_gate(now, self.mark)
        if changed or now >= self.retry_ns or (not self.starved and now >= self.wake_ns):
            self.ask("timer", now)
        if due:
            self.emit_snapshot(now)
            self.next_snapshot(now)
        self.set_timer(now)
        return self.done()
