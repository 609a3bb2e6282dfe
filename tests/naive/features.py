"""Features by their formulas: lists of everything seen, the window cut out anew for each sample, exact fractions."""

import math
from fractions import Fraction
from itertools import pairwise

from ringsim.records import Side
from ringsim.strategy.features import DEPTH_LEVELS


class NaiveFeatures:
    def __init__(self, window_ns, store):
        self.window_ns, self.store = window_ns, store
        self.samples = []  # (time, mid) since the book was last lost
        self.trades = []  # (time, signed lots)
        self.count = 0
        self.now = None

    def clear(self):
        self.samples, self.trades, self.now = [], [], None

    def trade(self, time_ns, side, qty):
        self.trades = (self.trades + [(time_ns, qty if side == Side.BUY else -qty)])[-self.store :]

    def sample(self, book, time_ns):
        """book: a NaiveBook. The values by name, or None."""
        bids, asks = book.prices(Side.BUY)[:DEPTH_LEVELS], book.prices(Side.SELL)[:DEPTH_LEVELS]
        if not bids or not asks or bids[0] >= asks[0]:
            self.now = None
            return None
        bid, ask = bids[0], asks[0]
        mid = Fraction(bid + ask, 2)
        self.samples = (self.samples + [(time_ns, mid)])[-self.store :]
        self.count += 1
        start = time_ns - self.window_ns
        mids = [m for t, m in self.samples if t >= start]
        trades = [q for t, q in self.trades if t >= start]
        returns = [math.log1p(float((b - a) / a)) if abs(b - a) < a / 2 else math.log(b / a) for a, b in pairwise(mids)]
        q_bid, q_ask = (sum(book.qty(s, p) for p in side) for s, side in ((Side.BUY, bids), (Side.SELL, asks)))
        best_bid, best_ask = book.qty(Side.BUY, bid), book.qty(Side.SELL, ask)
        micro = Fraction(bid * best_ask + ask * best_bid, best_ask + best_bid)
        self.now = {
            "sample": self.count,
            "time_ns": time_ns,
            "bid_ticks": bid,
            "ask_ticks": ask,
            "bid_lots": best_bid,
            "ask_lots": best_ask,
            "bid_depth_lots": q_bid,
            "ask_depth_lots": q_ask,
            "mid2_ticks": 2 * mid,
            "move2_ticks": 2 * (mid - mids[0]),
            "imbalance": Fraction(q_bid - q_ask, q_bid + q_ask),
            "depth_ratio": Fraction(q_bid, q_ask),
            "microprice_ticks": micro,
            "pressure_bps": 10_000 * (micro - mid) / mid,
            "spread_bps": 10_000 * (ask - bid) / mid,
            "momentum_bps": 10_000 * (mid / mids[0] - 1),
            "volatility": math.sqrt(math.fsum(r * r for r in returns) / len(returns)) if returns else 0,
            "trade_flow": Fraction(sum(trades), sum(map(abs, trades))) if any(trades) else 0,
        }
        return self.now
