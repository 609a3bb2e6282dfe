"""What a strategy sees of the market: the book now, and a time window over its book messages and trades.

    sample     one per book message that left a whole, two-sided book: its time, twice its mid, its squared log return
    trade      its time and signed quantity
    window     everything with  time >= time of the newest sample - window_ns

Invariants: every value costs O(1) an event; every sum is a sum of integers, so nothing drifts however long the run: what
leaves takes exactly away what it brought. Squared returns are split into two integers (2**-40 and 2**-90, see _split):
the sum's absolute error is at most 2**-90 a sample, below 1e-10 of the smallest move of a BTC price and nothing beside
the rounding of the square root. Values use basic operations and sqrt only, so a run's digest is the same on any machine.

More samples (or trades) in the window than its store holds: the oldest go, and are counted. A book that becomes invalid
empties the window: a return over a gap means nothing.

Formulas (L = 5 levels, Qb, Qa the sums of their quantities, qb, qa the best quantities, Pb, Pa the best prices):
    imbalance = (Qb - Qa) / (Qb + Qa)              depth ratio = Qb / Qa
    microprice = (Pb qa + Pa qb) / (qa + qb)       pressure = 1e4 (microprice - mid) / mid bps
    spread = 1e4 (Pa - Pb) / mid bps               momentum = 1e4 (mid / mid at the window's start - 1) bps
    volatility = sqrt(mean squared log return of mid, sample to sample within the window)
    trade flow = signed traded quantity / traded quantity in the window; the side is the aggressor's
Sources: the founding documents (oracles 7); microprice after Stoikov (2018), its size-weighted first order.
"""

import math

import numpy as np

from ringsim.book import book_best, book_next, book_qty
from ringsim.kernel import kernel
from ringsim.limits import FEATURE_WINDOW
from ringsim.records import Side
from ringsim.strategy.logarithm import log_ratio

DEPTH_LEVELS = 5

FEATURE_VALUES = np.dtype(
    [
        ("ready", "i8"),  # 1: the values are those of the newest book message; 0: there is no whole book
        ("sample", "i8"),  # how many samples there were, this one included
        ("time_ns", "i8"),  # recv_ns of the message
        ("bid_ticks", "i8"),
        ("ask_ticks", "i8"),
        ("bid_lots", "i8"),  # at the best price
        ("ask_lots", "i8"),
        ("bid_depth_lots", "i8"),  # of DEPTH_LEVELS levels
        ("ask_depth_lots", "i8"),
        ("mid2_ticks", "i8"),  # bid + ask: twice the mid, exact
        ("move2_ticks", "i8"),  # mid2 less mid2 at the window's start: the sign of momentum, exact
        ("imbalance", "f8"),
        ("depth_ratio", "f8"),
        ("microprice_ticks", "f8"),
        ("pressure_bps", "f8"),
        ("spread_bps", "f8"),
        ("momentum_bps", "f8"),
        ("volatility", "f8"),
        ("trade_flow", "f8"),
    ]
)
_SAMPLE = np.dtype([("time_ns", "i8"), ("mid2_ticks", "i8"), ("squared_return", "f8")])
_TRADE = np.dtype([("time_ns", "i8"), ("signed_lots", "i8")])

FEATURE_STATE = np.dtype(
    [
        ("window_ns", "i8"),
        ("store", "i8"),  # samples, and trades, that are kept at most: a power of two
        ("now", FEATURE_VALUES),
        # positions count up for ever, place = position & (store - 1); `oldest` is the first in the window, `next` its end
        ("oldest", "i8"),
        ("next", "i8"),
        ("oldest_trade", "i8"),
        ("next_trade", "i8"),
        ("dropped", "i8"),  # samples and trades that left before their time because the store was full
        ("squares_high", "i8"),  # sum of squared returns in the window: units of 2**-40 ...
        ("squares_low", "i8"),  # ... and of 2**-90
        ("signed_lots", "i8"),  # trades in the window
        ("traded_lots", "i8"),
        ("samples", _SAMPLE, (FEATURE_WINDOW,)),
        ("trades", _TRADE, (FEATURE_WINDOW,)),
    ]
)

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_HIGH, _LOW = 2.0**40, 2.0**50
# A squared log return of int64 prices is below 2**11, so a store of 2**12 highs stays below 2**63, and so do the lows.
assert FEATURE_WINDOW <= 1 << 12


def features_open(f, window_ns: int, store: int) -> None:
    """An empty window. window_ns: >= 1. store: a power of two, 2..limits.FEATURE_WINDOW. Cold."""
    assert store & (store - 1) == 0 and 2 <= store <= FEATURE_WINDOW
    f["window_ns"], f["store"] = window_ns, store


@kernel
def _split(square):
    """A squared return as integers: units of 2**-40, and of 2**-90 for the rest; the same for the same value, always."""
    scaled = square * _HIGH
    high = int(scaled)
    return high, int((scaled - high) * _LOW)


@kernel
def _drop_sample(f):
    """The oldest sample leaves, never the only one, and with it the return that started there."""
    f.oldest += 1
    high, low = _split(f.samples[f.oldest & (f.store - 1)].squared_return)
    f.squares_high -= high
    f.squares_low -= low


@kernel
def _drop_trade(f):
    signed = f.trades[f.oldest_trade & (f.store - 1)].signed_lots
    f.signed_lots -= signed
    f.traded_lots -= abs(signed)
    f.oldest_trade += 1


@kernel
def _add_sample(f, time_ns, mid2):
    place = f.next & (f.store - 1)
    if f.oldest < f.next:
        r = log_ratio(float(mid2), float(f.samples[(f.next - 1) & (f.store - 1)].mid2_ticks))
        square = r * r
        if f.next - f.oldest == f.store:
            _drop_sample(f)
            f.dropped += 1
        high, low = _split(square)
        f.samples[place].squared_return = square
        f.squares_high += high
        f.squares_low += low
    f.samples[place].time_ns = time_ns
    f.samples[place].mid2_ticks = mid2
    f.next += 1


@kernel
def _depth(book, side, best):
    """Lots of the best DEPTH_LEVELS levels of a side that has a best price."""
    lots, px = 0, best
    for _ in range(DEPTH_LEVELS):
        lots += book_qty(book, side, px)
        px = book_next(book, side, px)
        if px == 0:
            break
    return lots


@kernel
def features_clear(f):
    """The book is lost: no values, an empty window."""
    f.now.ready = 0
    f.oldest = f.next
    f.oldest_trade = f.next_trade
    f.squares_high = 0
    f.squares_low = 0
    f.signed_lots = 0
    f.traded_lots = 0


@kernel
def features_trade(f, time_ns, side, qty):
    """A trade happened. side: the aggressor's, 1 or 2. qty: lots, >= 0. It shows in the next sample."""
    if f.next_trade - f.oldest_trade == f.store:
        _drop_trade(f)
        f.dropped += 1
    place = f.next_trade & (f.store - 1)
    f.trades[place].time_ns = time_ns
    f.trades[place].signed_lots = qty if side == _BUY else -qty
    f.signed_lots += qty if side == _BUY else -qty
    f.traded_lots += qty
    f.next_trade += 1


@kernel
def features_sample(f, book, time_ns):
    """A book message ended, and the book is whole: compute `f.now`, and return True.

    time_ns: recv_ns of the message, never decreasing. False, and no values, if a side is empty or the sides cross.
    """
    now = f.now
    bid, ask = book_best(book, _BUY), book_best(book, _SELL)
    if bid == 0 or ask == 0 or bid >= ask:
        now.ready = 0
        return False
    mid2 = bid + ask
    _add_sample(f, time_ns, mid2)
    start_ns = time_ns - f.window_ns
    while f.samples[f.oldest & (f.store - 1)].time_ns < start_ns:
        _drop_sample(f)
    while f.oldest_trade < f.next_trade and f.trades[f.oldest_trade & (f.store - 1)].time_ns < start_ns:
        _drop_trade(f)

    bid_lots, ask_lots = book_qty(book, _BUY, bid), book_qty(book, _SELL, ask)
    bid_depth, ask_depth = _depth(book, _BUY, bid), _depth(book, _SELL, ask)
    start2 = f.samples[f.oldest & (f.store - 1)].mid2_ticks
    returns = f.next - f.oldest - 1
    now.ready = 1
    now.sample += 1
    now.time_ns = time_ns
    now.bid_ticks, now.ask_ticks = bid, ask
    now.bid_lots, now.ask_lots = bid_lots, ask_lots
    now.bid_depth_lots, now.ask_depth_lots = bid_depth, ask_depth
    now.mid2_ticks, now.move2_ticks = mid2, mid2 - start2
    now.imbalance = (bid_depth - ask_depth) / (bid_depth + ask_depth)
    now.depth_ratio = bid_depth / ask_depth
    # microprice - mid = (Pa - Pb)(qb - qa) / 2(qb + qa): no difference of large numbers
    lean = (ask - bid) * ((bid_lots - ask_lots) / (bid_lots + ask_lots))
    now.microprice_ticks = 0.5 * mid2 + 0.5 * lean
    now.pressure_bps = 1e4 * lean / mid2
    now.spread_bps = 2e4 * (ask - bid) / mid2
    now.momentum_bps = 1e4 * (mid2 - start2) / start2
    now.volatility = 0.0
    if returns > 0:
        now.volatility = math.sqrt((f.squares_high / _HIGH + f.squares_low / (_HIGH * _LOW)) / returns)
    now.trade_flow = f.signed_lots / f.traded_lots if f.traded_lots > 0 else 0.0
    return True
