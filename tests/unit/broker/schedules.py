"""Seeded lists of orders near the touch of a recorded session, for two programs to meet the same market with."""

import numpy as np

from ringsim.records import EventKind, OrderType, Side, Tif
from ringsim.strategy.schedule import SCHEDULED

SECOND = 1_000_000_000
_LEAD_NS = 3 * SECOND  # until the first order: the book is there
_REST_NS = 2 * SECOND  # after the last one


def mixed(events, seed, count, life_ns):
    """Everything at once: market, limit on both sides of the touch, every time in force, cancels after up to life_ns."""
    rng, s = _times(events, seed, count)
    s.side = rng.integers(1, 3, count)
    s.type = np.where(rng.random(count) < 0.15, OrderType.MARKET, OrderType.LIMIT)
    s.tif = rng.choice([Tif.GTC] * 3 + [Tif.IOC, Tif.FOK] + [Tif.POST_ONLY] * 2, count)
    s.tif[(s.type == OrderType.MARKET) & (s.tif == Tif.POST_ONLY)] = Tif.IOC
    off = np.rint(rng.standard_t(1.5, count) * 5).astype(np.int64).clip(-2000, 2000)
    s.px_ticks = np.where(s.type == OrderType.MARKET, 0, away(events, s, off))
    s.qty_lots = rng.integers(1, 2000, count)
    rests = (s.type == OrderType.LIMIT) & np.isin(s.tif, (Tif.GTC, Tif.POST_ONLY))
    s.cancel_after_ns = np.where(rests, rng.integers(10_000_000, life_ns, count), 0)
    return s


def resting(events, seed, count, life_ns):
    """Post-only at the best price or a little behind it, for as long as the queue matters."""
    rng, s = _times(events, seed, count)
    s.side, s.type, s.tif = rng.integers(1, 3, count), OrderType.LIMIT, Tif.POST_ONLY
    s.px_ticks = away(events, s, rng.integers(0, 3, count) * (rng.random(count) < 0.3))
    s.qty_lots = rng.integers(1, 2000, count)
    s.cancel_after_ns = rng.integers(10_000_000, life_ns, count)
    return s


def one_by_one(events, seed, count):
    """Post-only like `resting`, each one gone before the next comes."""
    rng = np.random.default_rng(seed)
    first, last = int(events.recv_ns[0]) + _LEAD_NS, int(events.recv_ns[-1]) - _REST_NS
    step = (last - first) // count
    s = resting(events, seed, count, SECOND)
    s.time_ns = first + step * np.arange(count) + rng.integers(0, step // 10, count)
    s.px_ticks = away(events, s, np.zeros(count, np.int64))
    s.cancel_after_ns = step * 8 // 10
    return s


def _times(events, seed, count):
    rng = np.random.default_rng(seed)
    s = np.zeros(count, SCHEDULED).view(np.recarray)
    s.time_ns = np.sort(rng.integers(int(events.recv_ns[0]) + _LEAD_NS, int(events.recv_ns[-1]) - _REST_NS, count))
    return rng, s


def away(events, s, off):
    """Prices `off` ticks behind the best price of the order's side, as the newest quote has it."""
    best = np.zeros(len(s), np.int64)
    for side in (Side.BUY, Side.SELL):
        quotes = events[(events.kind == EventKind.QUOTE) & (events.side == side)]
        newest = quotes.px_ticks[np.searchsorted(quotes.recv_ns, s.time_ns, side="right") - 1]
        best = np.where(s.side == side, newest, best)
    return np.where(s.side == Side.BUY, best - off, best + off)
