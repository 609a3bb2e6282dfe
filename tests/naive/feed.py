"""The feed with json, Fraction, a dict for each side and a list of the diffs that wait."""

import json
import re
from fractions import Fraction

from ringsim.limits import MAX_PRICE_TICKS, MAX_QTY_LOTS
from ringsim.records import ControlCode, EventFlag, EventKind, GapCode, Side

COUNTS = ["bad", "gaps", "stale", "overlaps", "waiting", "bridged", "unbridged", "unused", "resyncs", "crossed"]
COUNTS += ["trade_gaps", "trades_missing", "trades_stale", "trades_void", "quotes_stale", "cut_lots", "exch_forced"]
COUNTS += ["recv_forced"]
WHOLE, PRICES, QUANTITIES, BOTH, SIDES = (
    ["U", "u", "pu", "t", "lastUpdateId"],
    ["p"],
    ["q", "B", "A"],
    ["b", "a"],
    ["bids", "asks"],
)
KNOWN = {*WHOLE, *PRICES, *QUANTITIES, *BOTH, *SIDES, "e", "E", "m"}
DECIMAL = re.compile(r"\d+(\.\d+)?")


class BadMessage(Exception):
    pass


TWICE = object()  # key of an object in which a key that matters came twice


def mark_duplicates(pairs):
    keys = [key for key, _ in pairs if key in KNOWN and key != "e"]
    return dict(pairs) | ({TWICE: True} if len(set(keys)) < len(keys) else {})


def load(raw):
    """The inner message and whether it was wrapped."""
    try:
        outer = json.loads(raw, object_pairs_hook=mark_duplicates)
    except ValueError as error:
        raise BadMessage("no JSON") from error
    if not isinstance(outer, dict):
        raise BadMessage("no object")
    return (outer["data"], True) if isinstance(outer.get("data"), dict) else (outer, False)


def kind_of(message, wrapped):
    if "e" in message:
        return message["e"] if message["e"] in ("depthUpdate", "trade", "bookTicker") else "other"
    if "lastUpdateId" in message:
        return "other" if wrapped else "snapshot"
    return "bookTicker" if "u" in message and ("B" in message or "A" in message) else "other"


def whole_number(value):
    if type(value) is not int or not 0 <= value < 10**18:
        raise BadMessage(f"{value!r} is no plain integer")
    return value


def event_time_ns(value):
    if whole_number(value) <= 9 * 10**12:
        return value * 10**6
    if 10**14 <= value <= 9 * 10**15:
        return value * 10**3
    raise BadMessage("time out of range")


class NaiveFeed:
    """One message after the other; `events` are tuples in the order of MARKET_EVENT's fields, without stamp and pad."""

    def __init__(self, futures, tick, lot, skew_ns, latency_ns=1_000_000, symbol=0):
        self.futures = futures
        self.tick, self.lot = Fraction(tick), Fraction(lot)
        self.skew_ns, self.latency_ns, self.symbol = skew_ns, latency_ns, symbol
        self.book = {Side.BUY: {}, Side.SELL: {}}
        self.valid = self.ever_valid = False
        self.update_id = 0  # of the book
        self.seen_id = None  # of any diff
        self.last_trade = None
        self.last_quote = 0
        self.recv_ns = self.exch_ns = 0
        self.waiting = []  # (number, diff)
        self.after_snapshot = False
        self.number = self.sound = -1  # of the message in hand; of the last one that was folded
        self.events = []
        self.counts = dict.fromkeys(COUNTS, 0)

    # --- what a message says ---

    def price(self, text):
        if not isinstance(text, str) or not DECIMAL.fullmatch(text):
            raise BadMessage(f"{text!r} is no decimal")
        ticks = Fraction(text) / self.tick
        if ticks.denominator != 1 or ticks > MAX_PRICE_TICKS:
            raise BadMessage(f"{text} is off the grid")
        return int(ticks)

    def quantity(self, text):
        if not isinstance(text, str) or not DECIMAL.fullmatch(text):
            raise BadMessage(f"{text!r} is no decimal")
        lots = Fraction(text) / self.lot
        if int(lots) > MAX_QTY_LOTS:
            raise BadMessage(f"{text} is out of range")
        self.cut += lots.denominator != 1
        return int(lots)

    def levels(self, side, pairs):
        if not isinstance(pairs, list):
            raise BadMessage("no levels")
        found = []
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2:
                raise BadMessage("no level")
            found.append((side, self.price(pair[0]), self.quantity(pair[1])))
            if found[-1][1] == 0:
                raise BadMessage("price 0")
        return found

    def value(self, key, value):
        """A field that the feed knows, whatever its message is; None: it has another meaning here."""
        if key == "E":
            return event_time_ns(value)
        if key in WHOLE:
            return whole_number(value)
        if key in PRICES or (key in BOTH and isinstance(value, str)):
            return self.price(value)
        if key in QUANTITIES:
            return self.quantity(value)
        if key == "m" and type(value) is not bool:
            raise BadMessage("m")
        if key in SIDES or (key in BOTH and isinstance(value, list)):
            return self.levels(Side.BUY if key[0] == "b" else Side.SELL, value)
        return None if key in BOTH else value

    def parse(self, raw):
        """(kind, fields) of a sound message."""
        self.cut = 0
        message, wrapped = load(raw)
        kind = kind_of(message, wrapped)
        if kind == "other":
            return kind, None
        if TWICE in message:
            raise BadMessage("a key twice")
        known = {key: self.value(key, value) for key, value in message.items() if key in KNOWN}
        found = {key: value for key, value in known.items() if value is not None}
        sent = [value for value in found.values() if isinstance(value, list)]  # a side each, in the order they came
        levels = [level for side in sent for level in side]
        try:
            if kind == "depthUpdate":
                if not isinstance(found["b"], list) or not isinstance(found["a"], list):
                    raise BadMessage("no levels")
                before = found.get("pu", found["U"] - 1)
                if ("pu" in found) != self.futures or found["U"] > found["u"] or before > found["u"]:
                    raise BadMessage("ids")
                return kind, (found["E"], before, found["u"], levels)
            if kind == "snapshot":
                found["bids"], found["asks"]
                return kind, (found.get("E", 0), found["lastUpdateId"], levels)
            if kind == "trade":
                side = Side.SELL if found["m"] else Side.BUY
                return kind, (found["E"], found["t"], side, found["p"], found["q"])
            bid, ask = (found["b"], found["B"]), (found["a"], found["A"])
            if sent:
                raise BadMessage("levels")
            return kind, (found.get("E", 0), found["u"], bid, ask)
        except KeyError as error:
            raise BadMessage(f"{error} is missing") from error

    # --- what the feed makes of it ---

    def message(self, recv_ns, raw):
        """Fold one message; raw None: a line that was no message at all. Returns its events."""
        self.number += 1
        begin = len(self.events)
        try:
            if raw is None:
                raise BadMessage("no receive time")
            kind, fields = self.parse(raw)
        except BadMessage:
            self.counts["bad"] += 1
            return []
        if kind != "other":
            self.sound = self.number
            self.counts["cut_lots"] += self.cut
            self.set_times(recv_ns, fields[0])
            getattr(self, kind)(*fields[1:])
        return self.events[begin:]

    def set_times(self, recv_ns, event_ns):
        self.counts["recv_forced"] += recv_ns < self.recv_ns
        self.recv_ns = max(recv_ns, self.recv_ns)
        if event_ns == 0:
            self.exch_ns = max(self.exch_ns, self.recv_ns - max(self.latency_ns, 1))
        else:
            wanted = event_ns + self.skew_ns - self.latency_ns
            self.exch_ns = max(self.exch_ns, min(wanted, self.recv_ns - 1))
            self.counts["exch_forced"] += self.exch_ns != wanted

    def emit(self, kind, side=0, px=0, qty=0, number=0, source=None, code=0, last=False):
        source = self.number if source is None else source
        flag_bits = int(EventFlag.LAST) if last else 0
        self.events.append(
            (self.exch_ns, self.recv_ns, px, qty, number, source, code, self.symbol, int(kind), int(side), flag_bits)
        )

    def emit_levels(self, levels, number, source=None, last=False):
        for k, (side, px, qty) in enumerate(levels):
            self.emit(EventKind.LEVEL, side, px, qty, number, source, last=last and k == len(levels) - 1)
            if qty:
                self.book[side][px] = qty
            else:
                self.book[side].pop(px, None)

    def see_crossed(self):
        bids, asks = self.book[Side.BUY], self.book[Side.SELL]
        self.counts["crossed"] += bool(bids and asks and max(bids) >= min(asks))

    def gap(self):
        self.emit(EventKind.GAP, number=self.seen_id, code=int(GapCode.SEQUENCE), last=True)
        self.valid = False

    def depthUpdate(self, before, last, levels):
        ahead = self.seen_id is not None and before > self.seen_id
        self.seen_id = max(last, self.seen_id or 0)
        diff = (before, last, levels)
        if not self.valid:
            self.counts["gaps"] += ahead
            self.counts["waiting"] += 1
            self.waiting.append((self.number, diff))
        elif last <= self.update_id:
            self.counts["stale"] += 1
        elif before > self.update_id:
            self.counts["gaps"] += 1
            self.counts["waiting"] += 1
            self.waiting.append((self.number, diff))
            self.gap()
        else:
            self.counts["overlaps"] += before < self.update_id and not self.after_snapshot
            self.after_snapshot = False
            self.update_id = last
            self.emit_levels(levels, last, last=True)
            self.see_crossed()

    def snapshot(self, update_id, levels):
        if self.valid:
            self.counts["unused"] += 1
            return
        self.emit(EventKind.SNAPSHOT_BEGIN, number=update_id)
        self.book = {Side.BUY: {}, Side.SELL: {}}
        self.emit_levels(levels, update_id)
        self.update_id = update_id
        self.after_snapshot = True
        while self.waiting:
            number, (before, last, levels) = self.waiting[0]
            if before > self.update_id:
                self.counts["unbridged"] += 1
                self.gap()
                return
            self.waiting.pop(0)
            if last > self.update_id:
                self.counts["bridged"] += 1
                self.after_snapshot = False
                self.update_id = last
                self.emit_levels(levels, last, source=number)
        self.emit(EventKind.SNAPSHOT_END, number=self.update_id, last=True)
        self.counts["resyncs"] += self.ever_valid
        self.valid = self.ever_valid = True
        self.see_crossed()

    def trade(self, trade_id, side, px, qty):
        if self.last_trade is not None and trade_id <= self.last_trade:
            self.counts["trades_stale"] += 1
            return
        if self.last_trade is not None and trade_id > self.last_trade + 1:
            self.counts["trade_gaps"] += 1
            self.counts["trades_missing"] += trade_id - self.last_trade - 1
        self.last_trade = trade_id
        if px and qty:
            self.emit(EventKind.TRADE, side, px, qty, trade_id, last=True)
        else:
            self.counts["trades_void"] += 1

    def bookTicker(self, update_id, bid, ask):
        if update_id < self.last_quote:
            self.counts["quotes_stale"] += 1
            return
        self.last_quote = update_id
        self.emit(EventKind.QUOTE, Side.BUY, *bid, update_id)
        self.emit(EventKind.QUOTE, Side.SELL, *ask, update_id, last=True)

    def end(self):
        self.number = self.sound
        self.emit(EventKind.CONTROL, code=int(ControlCode.END_OF_FEED), last=True)
