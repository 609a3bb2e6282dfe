"""The queue models as the formulas stand in the literature, in exact fractions where they are rational."""

import math
from fractions import Fraction

from ringsim.broker.queue import QueueModel


def probability(model, n, front, back):
    """Exact for a rational model with a whole n, else float."""
    if front == 0 and back == 0:
        return 1
    if model in (QueueModel.POWER, QueueModel.POWER2, QueueModel.POWER3):

        def f(x):
            return x**n
    else:

        def f(x):
            return math.log(1 + x)

    if model in (QueueModel.POWER, QueueModel.LOG):
        return f(back) / (f(back) + f(front))
    if model in (QueueModel.POWER2, QueueModel.LOG2):
        return f(back) / f(back + front)
    return 1 - f(front / (front + back))


def depth(model, n, front, traded, before, after):
    """F after the level went from `before` to `after`."""
    change = before - after - traded
    if model == QueueModel.RISK_AVERSE or change < 0:
        return min(front, after)
    back = before - front
    p = probability(model, n, max(front, 0), max(back, 0))
    return min(front - (1 - p) * change + min(back - p * change, 0), after)


def executable(front):
    """round(-F), halves up, as soon as F < 0."""
    return math.floor(-front + Fraction(1, 2)) if front < 0 else 0


def fifo_front(front, newest, number, before, after):
    """F after the order `number` took the level from `before` to `after`; `newest` was the last one displayed when we joined."""
    if number <= newest:
        front += after - before
    return min(max(front, 0), after)


def fifo_executable(front, newest, number, qty):
    """All of a trade that passed us by, as soon as nobody is ahead."""
    passed_us_by = number > newest and not front
    return qty if passed_us_by else 0
