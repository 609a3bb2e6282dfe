"""What kind of market it is: trending, going sideways, or volatile, from the mid's returns between decisions.

    r         mid / mid at the decision before - 1, over the last WINDOW decisions
    VOLATILE  sqrt(mean r**2) >= volatile_at
    TREND     |sum r| / sum |r| >= trend_at          (Kaufman's efficiency ratio, Trading Systems and Methods)
    SIDEWAYS  otherwise, and while fewer than WINDOW / 2 returns are known

Invariants: O(1) a decision; sums of whole numbers (returns in units of 2**-31, held to within a quarter), so nothing drifts and
any machine says the same. A lost book empties the window: a return over a gap means nothing.
"""

import math
from enum import IntEnum

import numpy as np

from ringsim.kernel import kernel

WINDOW = 64  # returns: a power of two


class MarketRegime(IntEnum):
    """Values are stored: append, never renumber."""

    SIDEWAYS = 0
    TREND = 1
    VOLATILE = 2


REGIME_PARAMS = np.dtype(
    [
        ("volatile_at", "f8"),  # root mean square return from a decision to the next
        ("trend_at", "f8"),  # efficiency ratio, 0..1
    ]
)
REGIME_STATE = np.dtype(
    [
        ("mid2_ticks", "i8"),  # at the last decision, 0: none
        ("count", "i8"),  # returns in the window
        ("next", "i8"),  # place of the next one
        ("net", "i8"),
        ("way", "i8"),  # sum of their sizes
        ("squares", "i8"),
        ("regime", "i8"),
        ("returns", "i8", (WINDOW,)),
    ]
)

_ONE = 2.0**31
_MOST = 1 << 28  # a quarter less a bit: WINDOW squares of it stay below 2**63
assert WINDOW * _MOST**2 < 1 << 63
_SIDEWAYS, _TREND, _VOLATILE = (np.int64(r) for r in MarketRegime)


@kernel
def regime_clear(r):
    """Forget everything."""
    r.mid2_ticks = r.count = r.next = r.net = r.way = r.squares = 0
    r.regime = _SIDEWAYS


@kernel
def _classify(r, p):
    if 2 * r.count < WINDOW:
        return _SIDEWAYS
    if math.sqrt(r.squares / r.count) >= p.volatile_at * _ONE:
        return _VOLATILE
    if r.way > 0 and abs(r.net) / r.way >= p.trend_at:
        return _TREND
    return _SIDEWAYS


@kernel
def regime_observe(r, p, mid2_ticks):
    """A decision at this mid (twice it, ticks, > 0). Returns the MarketRegime from now on."""
    before = r.mid2_ticks
    r.mid2_ticks = mid2_ticks
    if before == 0:
        return r.regime
    size = int(np.floor((mid2_ticks - before) / before * _ONE + 0.5))
    size = min(max(size, -_MOST), _MOST)
    if r.count == WINDOW:
        old = r.returns[r.next]
        r.net -= old
        r.way -= abs(old)
        r.squares -= old * old
    else:
        r.count += 1
    r.returns[r.next] = size
    r.next = (r.next + 1) & (WINDOW - 1)
    r.net += size
    r.way += abs(size)
    r.squares += size * size
    r.regime = _classify(r, p)
    return r.regime
