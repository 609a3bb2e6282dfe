"""Who trades with whom, and at what price.

Taking: an incoming order walks the other side's levels from the best, at each level's price and the slippage on it, and gets
what is available there (displayed less what the account has taken). Each level that it looks at is remembered, or was before,
so it looks at no more levels than there are places to remember them; what is left then is NO_LIQUIDITY.

Resting: an order trades
- when the market trades through its price (a trade at a worse price than its own): at its own price;
- when the market trades at its price and the queue ahead of it is used up (ringsim.broker.queue, fifo), unless others there had
  the trade (ringsim.broker.adverse): then it stands at the front;
- when, at the end of a message, the other side is displayed at its price or better: at its own price, with what is
  available there.

A trade of q lots is one aggressor that meets our orders in price-time priority: the orders at a better price come first,
and of those at the trade's price each gets what reaches it, less what the aggressor already left with our orders before it.
So our fills from one trade never add up to more than q, and two orders at one level share it.

An order fills at most once in one input; what still crosses is looked at again at the end of the next message.

With `whole_fills` quantities do not matter: a resting order of which anything is executable fills completely, a taker fills
completely at the best price, and nothing is remembered as taken. That is how hftbacktest's exchange without partial fills
works; it is there to compare with, not to believe.
"""

import numpy as np

from ringsim.book import book_best, book_next, book_qty
from ringsim.broker.account import fill_order
from ringsim.broker.adverse import others_had
from ringsim.broker.fifo import fifo_executable
from ringsim.broker.liquidity import available, known_taken, note_taken
from ringsim.broker.orders import better, reaches
from ringsim.broker.queue import QueueModel, queue_executable
from ringsim.broker.slippage import slipped
from ringsim.kernel import kernel
from ringsim.limits import TAKEN_LEVELS
from ringsim.records import Liquidity, OrderType, Side

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_MAKER, _TAKER = np.int64(Liquidity.MAKER), np.int64(Liquidity.TAKER)
_MARKET = np.int64(OrderType.MARKET)
_NO_EVENT = np.int64(-1)
_FIFO = np.int64(QueueModel.FIFO)


@kernel
def probe(s, side, type_, px, qty):
    """What taking would give, without taking: (lots, price of the last level that gives any; 0 if there is none).

    side, type_, px, qty: of the order. A level counts only if there is a place to remember what is taken from it.
    """
    other = 3 - side
    level = book_best(s.book, other)
    if level == 0 or (type_ != _MARKET and not reaches(side, px, level)):
        return 0, 0
    if s.p.whole_fills != 0:
        return qty, level
    lots, reach, places = 0, 0, TAKEN_LEVELS - s.taken_count
    while True:
        there = available(s, other, level)
        if there > 0:
            if not known_taken(s, other, level):
                if places == 0:
                    return lots, reach
                places -= 1
            lots, reach = min(qty, lots + there), level
        level = book_next(s.book, other, level)
        if lots == qty or level == 0 or (type_ != _MARKET and not reaches(side, px, level)):
            return lots, reach


@kernel
def take(s, k, now, out):
    """Let the order in slot k take. Returns (lots left, whether it had to stop although it could still trade).

    It stops early where what it takes cannot be remembered, or where a fill halted trading. With nothing left its slot is
    free.
    """
    o = s.orders[k]
    side, type_, px, left = o.side, o.type, o.px, o.left
    other = 3 - side
    level = book_best(s.book, other)
    if s.p.whole_fills != 0:
        if level > 0 and (type_ == _MARKET or reaches(side, px, level)):
            fill_order(s, k, slipped(s.p, side, level, px), left, _TAKER, _NO_EVENT, now, out)
            left = 0
        return left, False
    while left > 0 and level > 0 and (type_ == _MARKET or reaches(side, px, level)):
        lots = min(left, available(s, other, level))
        if lots > 0:
            if not note_taken(s, other, level, lots):
                return left, True
            left -= lots
            if fill_order(s, k, slipped(s.p, side, level, px), lots, _TAKER, _NO_EVENT, now, out):
                return left, True
        level = book_next(s.book, other, level)
    return left, False


@kernel
def _missed(s, k, seq):
    """Whether others had the trade that reaches the resting order in slot k at its price. It is in `traded` already."""
    o = s.orders[k]
    other = 3 - o.side
    best = book_best(s.book, other)
    facing = book_qty(s.book, other, best) if best > 0 else 0
    return others_had(s.p, book_qty(s.book, o.side, o.px) - o.traded, facing, seq)


@kernel
def trade_fills(s, aggressor, px, qty, order_id, seq, now, out):
    """The market traded: fill what it reaches of our orders on the other side.

    aggressor: side that took. px: ticks. qty: lots, >= 1. order_id: who was executed (FIFO). seq: of the market event.
    """
    side = 3 - aggressor
    whole = s.p.whole_fills != 0
    used = 0  # lots of this trade that our orders have had
    i = 0
    while i < s.ranked[side]:
        k = s.rank[side, i]
        o = s.orders[k]
        if better(side, px, o.px):
            return
        if o.px == px and s.p.queue_model == _FIFO:
            lots = fifo_executable(o.front, o.newest_id, order_id, qty)
        elif o.px == px:
            o.front -= qty
            o.traded += qty
            lots = min(queue_executable(o.front), qty)  # F may have been below zero before: a level that fell apart
            if lots > 0:
                o.front = 0.0
                if not whole and _missed(s, k, seq):
                    lots = 0
        else:
            lots = qty
        if whole:
            lots = o.left if lots > 0 else 0
        else:
            lots = min(lots - used, o.left)
        if lots <= 0:
            i += 1
            continue
        used += lots
        if lots < o.left:
            i += 1
        if fill_order(s, k, o.px, lots, _MAKER, seq, now, out):
            return


@kernel
def _gather(s, side, px, qty):
    """Take up to qty lots of what the other side displays at px or better, and remember it; returns the lots."""
    if s.p.whole_fills != 0:
        return qty
    other = 3 - side
    level, got = book_best(s.book, other), 0
    while got < qty and level > 0 and reaches(side, px, level):
        lots = min(qty - got, available(s, other, level))
        if lots > 0:
            if not note_taken(s, other, level, lots):
                break
            got += lots
        level = book_next(s.book, other, level)
    return got


@kernel
def crossed(s):
    """Whether the other side is displayed at the price of one of our resting orders, or better. Cheap: two compares."""
    ask, bid = book_best(s.book, _SELL), book_best(s.book, _BUY)
    return (ask > 0 and s.own_best[_BUY] >= ask) or (bid > 0 and s.own_best[_SELL] <= bid)


@kernel
def cross_fills(s, seq, now, out):
    """A message ended: fill resting orders at whose price the other side is displayed, bids first, best price first."""
    for side in (_BUY, _SELL):
        i = 0
        while i < s.ranked[side]:
            best = book_best(s.book, 3 - side)
            k = s.rank[side, i]
            o = s.orders[k]
            if best == 0 or not reaches(side, o.px, best):
                break
            lots = _gather(s, side, o.px, o.left) if o.filled_seq != seq else 0
            if lots == 0 or lots < o.left:
                i += 1
            if lots > 0 and fill_order(s, k, o.px, lots, _MAKER, seq, now, out):
                return
