"""Queue position: how much stands before a resting order at its level, as far as level data can tell.

    F  quantity ahead of the order, lots, float64        B = level - F  quantity behind it

On placing, F is the displayed quantity. A trade of q at the level takes q from the front. When the level's quantity
changes by something other than trades, the models differ in how much of a decrease happened ahead of the order:

    RISK_AVERSE   none of it, as long as the level is still large enough: F = min(F, new)
    the others    all but the share p that happened behind the order, with
                  POWER   f(B) / (f(B) + f(F)),  f(x) = x**n            LOG    the same with f(x) = ln(1 + x)
                  POWER2  f(B) / f(B + F),       f(x) = x**n            LOG2   the same with f(x) = ln(1 + x)
                  POWER3  1 - (F / (F + B))**n
(R. Cont's and E. Moallemi's question as answered at rigtorp.se/2013/06/08/estimating-order-queue-position.html; the
families are those of hftbacktest's ProbQueueModel.) Once F < 0 the trade went past everybody ahead: round(-F) lots are
executable, and whoever executes them puts F back to 0; a trade that reaches less than half a lot into the order leaves F.

Pure functions of numbers; the exact twins are tests/naive/queue.py. RISK_AVERSE computes in whole numbers only. FIFO is no
estimate: ringsim.broker.fifo.
"""

import math
from enum import IntEnum

from ringsim.kernel import kernel


class QueueModel(IntEnum):
    """Values are stored: append, never renumber."""

    RISK_AVERSE = 0
    POWER = 1
    LOG = 2
    POWER2 = 3
    LOG2 = 4
    POWER3 = 5
    FIFO = 6  # order-level data only


EXPONENT_MAX = 16.0  # (2**41)**16 is still far from the end of float64

_RISK_AVERSE, _POWER, _LOG = int(QueueModel.RISK_AVERSE), int(QueueModel.POWER), int(QueueModel.LOG)
_POWER2, _LOG2 = int(QueueModel.POWER2), int(QueueModel.LOG2)


@kernel
def probability_behind(model, n, front_lots, back_lots):
    """Probability that a decrease of the level happened behind our order.

    model: a QueueModel but RISK_AVERSE and FIFO. n: exponent, 0 < n <= EXPONENT_MAX. front_lots, back_lots: float64; what is below
    zero counts as zero. Returns float64 in [0, 1]; 1.0 when both are zero.
    """
    front, back = max(front_lots, 0.0), max(back_lots, 0.0)
    if front + back == 0.0:
        return 1.0
    if model == _POWER:
        return back**n / (back**n + front**n)
    if model == _LOG:
        return math.log(1.0 + back) / (math.log(1.0 + back) + math.log(1.0 + front))
    if model == _POWER2:
        return back**n / (back + front) ** n
    if model == _LOG2:
        return math.log(1.0 + back) / math.log(1.0 + back + front)
    return 1.0 - (front / (front + back)) ** n


@kernel
def queue_depth(model, n, front_lots, traded_lots, before_lots, after_lots):
    """Quantity ahead after the level was set, lots, float64.

    model: a QueueModel but FIFO. traded_lots: traded at the level since it was last set: that part of the decrease was already
    taken from the front.
    before_lots, after_lots: the level's quantity before and after, lots. Never above after_lots.
    """
    after = float(after_lots)
    if model == _RISK_AVERSE:
        return min(front_lots, after)
    decrease = float(before_lots - after_lots - traded_lots)
    if decrease < 0.0:
        return min(front_lots, after)
    back = before_lots - front_lots
    p = probability_behind(model, n, front_lots, back)
    return min(front_lots - (1.0 - p) * decrease + min(back - p * decrease, 0.0), after)


@kernel
def queue_executable(front_lots):
    """Lots of our order that the trades have reached: round(-F), halves up; 0 while anything stands ahead."""
    if front_lots >= 0.0:
        return 0
    return math.floor(0.5 - front_lots)
