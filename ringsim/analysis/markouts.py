"""Mark-outs: what the mid did after each fill, seen from the side that was filled.

    markout(h) = sign x (mid(fill + h) - fill price),  sign +1 for a buy, -1 for a sell

Below zero means that the price went against the fill: the fill was adversely selected. The mid is that of the newest whole
message that the exchange had said by then, exactly h after the fill or before; a fill whose horizon lies beyond the market's
end has none (it is not taken from the last mid, which would look calmer than it was).

Invariant: half ticks, integers. Twin: tests/naive/analysis.py.
"""

from collections.abc import Sequence

import numpy as np

from ringsim.analysis.tops import TOP, Tops
from ringsim.records import Side

HORIZONS_MS = (1, 10, 100, 1000)
NO_MARKOUT = -(1 << 62)


def markouts(
    events: np.ndarray,
    times_ns: np.ndarray,
    fills: Sequence[tuple[int, int, int]],
    horizons_ns: Sequence[int],
    symbol: int = 0,
) -> np.ndarray:
    """int64[fills, horizons]: mark-outs in half ticks, NO_MARKOUT where there is no market at that time.

    events: MARKET_EVENT[n]; symbol: whose book counts. times_ns: int64[n], when each was said, never
    decreasing. fills: (time on the same clock, Side, price in ticks), any order. horizons_ns: >= 0.
    """
    found = np.full((len(fills), len(horizons_ns)), NO_MARKOUT, np.int64)
    if not len(fills) or not len(events):
        return found
    when = np.array([[time + h for h in horizons_ns] for time, _, _ in fills], np.int64).reshape(-1)
    seqs = np.searchsorted(times_ns, when, side="right") - 1
    order = np.argsort(seqs, kind="stable")
    tops = np.zeros(len(when), TOP)
    tops[order] = Tops(events, symbol).at(seqs[order])
    mid2 = tops["bid_ticks"] + tops["ask_ticks"]
    sign = np.repeat([1 if side == Side.BUY else -1 for _, side, _ in fills], len(horizons_ns))
    price2 = np.repeat([2 * price for _, _, price in fills], len(horizons_ns))
    known = (tops["bid_ticks"] > 0) & (when <= times_ns[-1])
    found.reshape(-1)[known] = (sign * (mid2 - price2))[known]
    return found
