"""Slippage: what a taker pays beyond the book, for the part of the market that a recorded book does not have.

    buy     min(level + away, limit)          away = N ticks, or N basis points of the level, rounded up
    sell    max(level - away, limit)

Never better than the level that is taken from, never beyond the order's limit, always a price. Quantities are the book's.
"""

import numpy as np

from ringsim.broker.fees import CBPS
from ringsim.kernel import kernel
from ringsim.limits import MAX_FEE_CBPS, MAX_PRICE_TICKS
from ringsim.records import Side

SLIPPAGE_TICKS_MAX = 1_000_000
SLIPPAGE_CBPS_MAX = MAX_FEE_CBPS  # a hundredth of the price

_BUY = np.int64(Side.BUY)

assert MAX_PRICE_TICKS * SLIPPAGE_CBPS_MAX < 1 << 62


@kernel
def slipped(p, side, level, limit):
    """Price of a taker's fill, ticks, 1..MAX_PRICE_TICKS.

    p: BROKER_PARAMS. side: of the order. level: ticks, of the level that it takes from. limit: ticks, its price, at which it
    reaches the level; 0 of a market order.
    """
    away = p.slippage_ticks + (level * p.slippage_cbps + CBPS - 1) // CBPS
    if side == _BUY:
        return min(level + away, limit if limit > 0 else MAX_PRICE_TICKS)
    return max(level - away, max(limit, 1))
