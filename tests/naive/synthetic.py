"""The generated market in plain Python: lists of what happens when, sorted, and a book of two dicts."""

from math import floor

from ringsim.draws import below, normal
from ringsim.market.ladder import EPOCH_NS
from ringsim.market.walk import Regime
from ringsim.records import EventKind, Side

ONE = 1 << 16  # a tick
WALK, REGIME, DIRECTION, JUMP, JUMP_SIGN, LAG, NOISE, TRANSPORT = range(1, 9)
SLOT, LOTS, PLACE, PULL, TRADE_SIDE, TRADE_LOTS = range(9, 15)


def walk(p):
    """[(price in 2**-16 ticks, Regime)] of every step."""
    price = anchor = p.start_fine
    found = []
    for k in range(p.duration_ns // p.step_ns + 1):
        period = k // p.regime_steps
        regime = Regime(below(p.seed, REGIME, period, 4)) if p.regime == Regime.MIXED else p.regime
        if k % p.regime_steps == 0:
            anchor = price
        if k:
            z = normal(p.seed, WALK, k)
            if regime == Regime.VOLATILE:
                z = z * 3.0
            if regime == Regime.TREND:
                z = z + (0.5 if below(p.seed, DIRECTION, period, 2) == 0 else -0.5)
            move = price * (p.sigma * z)
            if regime == Regime.SIDEWAYS:
                move = move + (anchor - price) * 0.125
            if below(p.seed, JUMP, k, 10**9) < p.jump_ppb:
                move = move + price * (p.jump_by if below(p.seed, JUMP_SIGN, k, 2) == 0 else -p.jump_by)
            price = max(p.start_fine // 64, min(p.start_fine * 64, price + floor(move + 0.5)))
        found.append((price, regime))
    return found


class Market:
    """All market events of a session as tuples (exch, recv, kind, side, px, qty, id, last)."""

    def __init__(self, p):
        self.p, self.events, self.recv, self.message, self.updates, self.trades = p, [], 0, 0, 0, 0
        self.drawn = dict.fromkeys(range(1, 15), 0)
        self.book = {Side.BUY: {}, Side.SELL: {}}
        prices = [price for price, _ in walk(p)]
        happenings = [(k * p.step_ns, 3, k) for k in range(len(prices))]  # at equal times: moves, activity, predictions
        newest = 0
        self.targets = []
        for k, price in enumerate(prices):
            newest = max(newest, k * p.step_ns + p.lag_ns + (below(p.seed, LAG, k, p.jitter_ns + 1)))
            noise = floor(price * (p.noise * normal(p.seed, NOISE, k)) + 0.5) if p.noise else 0
            self.targets.append(price + noise)
            if newest <= p.duration_ns:
                happenings.append((newest, 1, k))
        slots = []
        for slot in range(p.duration_ns // 10**6):
            counts = [hz // 1000 + (self.draw(SLOT, 1000) < hz % 1000) for hz in (p.depth_hz, p.cancel_hz, p.trade_hz)]
            acts = [act for act, n in zip((self.redraw, self.pull, self.trade), counts, strict=True) for _ in range(n)]
            slots += [(slot * 10**6 + (i + 1) * 10**6 // (len(acts) + 1), act) for i, act in enumerate(acts)]
        happenings += [(t, 2, i) for i, (t, _) in enumerate(slots)]

        self.tops = self.tops_at(prices[0])
        message = [(EventKind.SNAPSHOT_BEGIN, 0, 0, 0)]
        for side in Side.BUY, Side.SELL:
            for k in range(p.levels):
                px = self.place(side, k)
                self.book[side][px] = self.lots()
                message.append((EventKind.LEVEL, side, px, self.book[side][px]))
        self.say(0, [*message, (EventKind.SNAPSHOT_END, 0, 0, 0)], 0)
        for t, what, k in sorted(happenings):
            if what == 1:
                self.move(t, self.tops_at(self.targets[k]))
            elif what == 2:
                slots[k][1](t)
            else:
                self.say(t, [(EventKind.PREDICTION, 0, (prices[k] + ONE // 2) // ONE, 0)], k)

    def draw(self, stream, bound):
        self.drawn[stream] += 1
        return below(self.p.seed, stream, self.drawn[stream], bound)

    def lots(self):
        return 1 + self.draw(LOTS, 2 * self.p.level_lots - 1)

    def say(self, t, message, number):
        late = self.p.latency_ns + below(self.p.seed, TRANSPORT, self.message, self.p.transport_jitter_ns + 1)
        self.recv = max(self.recv, EPOCH_NS + t + late)
        for n, (kind, side, px, qty) in enumerate(message):
            last = n == len(message) - 1
            self.events.append((EPOCH_NS + t, self.recv, int(kind), int(side), px, qty, number, int(last)))
        self.message += 1

    def tops_at(self, price):
        """The best bid whose mid lies nearest to the price."""
        spread = self.p.spread_ticks
        bid = floor((2 * price - spread * ONE + ONE) / (2 * ONE))
        return {Side.BUY: bid, Side.SELL: bid + spread}

    def place(self, side, k, tops=None):
        return (tops or self.tops)[side] + (k if side == Side.SELL else -k)

    def move(self, t, tops):
        if tops == self.tops:
            return
        self.updates += 1
        message, old = [], self.tops
        self.tops = tops
        wanted = {side: [self.place(side, k) for k in range(self.p.levels)] for side in tops}
        before = {side: [self.place(side, k, old) for k in range(self.p.levels)] for side in tops}
        for side in tops:
            for px in before[side]:
                if px in self.book[side] and px not in wanted[side]:
                    del self.book[side][px]
                    message.append((EventKind.LEVEL, side, px, 0))
        for side in tops:
            gained = [px for px in wanted[side] if px not in before[side]]
            for px in gained or ([] if self.book[side] else wanted[side][:1]):
                self.book[side][px] = self.lots()
                message.append((EventKind.LEVEL, side, px, self.book[side][px]))
        self.say(t, message, self.updates)

    def change(self, t, side, px, lots):
        self.updates += 1
        self.book[side].pop(px, None)
        if lots:
            self.book[side][px] = lots
        self.say(t, [(EventKind.LEVEL, side, px, lots)], self.updates)

    def at_place(self, stream):
        place = self.draw(stream, 2 * self.p.levels)
        side = Side.BUY if place < self.p.levels else Side.SELL
        return side, self.place(side, place % self.p.levels)

    def redraw(self, t):
        side, px = self.at_place(PLACE)
        lots = self.lots()
        if lots != self.book[side].get(px, 0):
            self.change(t, side, px, lots)

    def pull(self, t):
        side, px = self.at_place(PULL)
        if px in self.book[side] and len(self.book[side]) > 1:
            self.change(t, side, px, 0)

    def trade(self, t):
        side = Side.BUY if self.draw(TRADE_SIDE, 2) == 0 else Side.SELL
        lots = 1 + self.draw(TRADE_LOTS, 2 * self.p.trade_lots - 1)
        px = max(self.book[side]) if side == Side.BUY else min(self.book[side])
        there = self.book[side][px]
        lots = min(lots, there if len(self.book[side]) > 1 else there - 1)
        if lots:
            self.trades += 1
            aggressor = Side.SELL if side == Side.BUY else Side.BUY
            self.say(t, [(EventKind.TRADE, aggressor, px, lots)], self.trades)
            self.change(t, side, px, there - lots)
