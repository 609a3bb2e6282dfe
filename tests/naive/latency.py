"""Latencies from their description: plain lists, fractions and one branch a model."""

from fractions import Fraction
from itertools import pairwise

from ringsim.broker.latency import ENTRY, LatencyModel
from tests.naive.draws import random_word


def latency(params, direction, seq, sent_ns=0, rows=((), ()), values=(0, 0), cbps=0):
    """ns. params: BrokerParams. direction: ENTRY or RESPONSE. sent_ns: of the session. rows: [(at, ns)] of either direction.

    values: MEASURED, how many values either distribution has. cbps: VOLATILITY, how far the mid went.
    """
    entry = direction == ENTRY
    if params.latency_model == LatencyModel.ROWS:
        return between(rows[0 if entry else 1], sent_ns)
    if params.latency_model == LatencyModel.MEASURED:
        found = every_value(rows[0 if entry else 1], values[0 if entry else 1])
        return found[random_word(params.seed, direction, seq) % len(found)]
    least, width = (
        (params.entry_ns, params.entry_jitter_ns) if entry else (params.response_ns, params.response_jitter_ns)
    )
    if params.latency_model == LatencyModel.VOLATILITY:
        return least + min(cbps * params.ns_per_bps // 100, params.most_ns)
    if params.latency_model == LatencyModel.JITTER:
        return least + random_word(params.seed, direction, seq) % (width + 1)
    return least


class Way:
    """How far the mid went: every look that there was or would have been, one each 125 ms, as (its number, the mid then)."""

    STEP_NS, STEPS = 125_000_000, 8

    def __init__(self):
        self.mids = {}
        self.last = -1

    def look(self, mid2, now):
        """The mid as it was since the look before."""
        number = now // self.STEP_NS
        if number > self.last:
            self.mids[self.last + 1] = mid2 or self.newest()
            self.mids[number] = self.mids[self.last + 1]
            self.last = number

    def newest(self):
        return self.mids[max(self.mids)] if self.mids else 0

    def cbps(self):
        """Hundredths of a basis point."""
        known = sorted(self.mids)
        way = sum(
            abs(self.mids[this] - self.mids[before])
            for before, this in pairwise(known)
            if self.mids[before] and this > self.last - self.STEPS
        )
        return min(way, self.newest()) * 1_000_000 // self.newest() if self.newest() else 0


def every_value(rows, count):
    """The distribution one by one. rows: (values before, ns)."""
    ends = [at for at, _ in rows[1:]] + [count]
    return [ns for (at, ns), end in zip(rows, ends, strict=True) for _ in range(at, end)]


def between(rows, time_ns):
    """On the line from the last row that is not later to the first that is, cut towards the former."""
    before = [row for row in rows if row[0] <= time_ns]
    after = [row for row in rows if row[0] > time_ns]
    if not before or not after:
        return (before[-1:] or after[:1])[0][1]
    (x0, y0), (x1, y1) = before[-1], after[0]
    return y0 + int(Fraction(y1 - y0, x1 - x0) * (time_ns - x0))
