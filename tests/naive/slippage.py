"""What a taker pays beyond the book, in whole numbers and fractions."""

from fractions import Fraction
from math import ceil

from ringsim.limits import MAX_PRICE_TICKS
from ringsim.records import Side


def slipped(params, side, level, limit):
    """params: BrokerParams. limit: None of a market order."""
    away = params.slippage_ticks + ceil(Fraction(level * params.slippage_cbps, 1_000_000))
    if side == Side.BUY:
        return min(level + away, MAX_PRICE_TICKS if limit is None else limit)
    return max(level - away, 1 if limit is None else limit)
