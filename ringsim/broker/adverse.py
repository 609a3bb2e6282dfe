"""Adverse selection: a trade at our price fills us for sure only where the price is about to move through it.

    left     displayed at our price, less what traded there since it was last set, this trade included
    other    displayed at the best price of the other side
    holds    left >= other and left > 0; else the level is going: the next move of the mid is likelier through it than away

A trade that reaches our order (ringsim.broker.queue) fills it where its level is going. Where the level holds, others there
had it with probability P: our order keeps its place at the front, and is filled by a later trade, or when the price is gone.
So fills that would have been good become fewer as P rises, and the others do not. The rule that the larger queue wins the
next move: M. Gould, J. Bonart, Queue imbalance as a one-tick-ahead price predictor in limit order books, 2016.

Nothing is looked up ahead of its time: the book and the trade decide, and a draw from (seed, number of the trade), one for all
our orders at its price, so a redo draws the same and a younger order is never filled by a trade that an older one missed.
"""

import numpy as np

from ringsim.draws import below
from ringsim.kernel import kernel

WHOLE_PCT = 100
ADVERSE = 15  # stream of the random numbers; the generated market, which may have the same seed, draws from 1 to 14

_ADVERSE, _WHOLE_PCT = np.int64(ADVERSE), np.int64(WHOLE_PCT)


@kernel
def level_holds(left_lots, other_lots):
    """Whether the next move of the mid is likelier away from a level than through it.

    left_lots: int64, what is left of it; below zero where more traded than was displayed. other_lots: int64, >= 0, 0 if the
    other side is empty.
    """
    return left_lots >= max(other_lots, 1)


@kernel
def others_had(p, left_lots, other_lots, seq):
    """Whether a trade at our price went to others at the level, although it had reached our order.

    p: BROKER_PARAMS, adverse_pct 0..100. left_lots, other_lots: see level_holds. seq: of the trade in the market ring.
    """
    if p.adverse_pct == 0 or not level_holds(left_lots, other_lots):
        return False
    return below(p.seed, _ADVERSE, seq, _WHOLE_PCT) < p.adverse_pct
