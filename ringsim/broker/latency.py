"""Latency models: how long an order travels to the exchange, and a report back.

    CONSTANT   entry_ns, response_ns
    JITTER     the same plus a uniform 0..jitter_ns, drawn from (seed, direction, number of the record): no hidden state, so
               a redo and another machine draw the same
    MEASURED   drawn, as the jitter is, from a distribution that was measured (DELAYS: `at` counts the values below each)
    ROWS       interpolated, at the time when it is sent, between measured latencies (DELAYS: `at` is the time of each)

    VOLATILITY the constants plus a term in proportion to how far the mid has gone of late (ringsim.broker.moves), to a most

Every model states a lower bound that no draw goes below, entry_ns and response_ns: the simulated clock needs it (protocols
P4), and there it must be at least 1 ns. The connection is first in, first out: whoever is faster than the record before it
waits for it (the exchange does that, not the model). More models join by a value of LatencyModel and a branch in `_travel_ns`.
"""

from enum import IntEnum

import numpy as np

from ringsim.draws import random_word
from ringsim.kernel import kernel
from ringsim.limits import MAX_LATENCY_ROWS
from ringsim.records import NEVER_NS


class LatencyModel(IntEnum):
    """Values are stored: append, never renumber."""

    CONSTANT = 0
    JITTER = 1
    ROWS = 2
    MEASURED = 3
    VOLATILITY = 4


TABLED = (LatencyModel.ROWS, LatencyModel.MEASURED)  # those that look into DELAYS

LATENCY = np.dtype(
    [
        ("model", "i8"),
        ("entry_ns", "i8"),
        ("response_ns", "i8"),
        ("entry_jitter_ns", "i8"),
        ("response_jitter_ns", "i8"),
        ("ns_per_bps", "i8"),  # VOLATILITY: for each basis point that the mid went
        ("most_ns", "i8"),  # and no more than this
        ("seed", "i8"),
        ("first_ns", "i8"),  # time of the session that is feed_ns on the stage's clock
        ("speed_num", "i8"),  # of the feed, a fraction
        ("speed_den", "i8"),
    ]
)

DELAY = np.dtype(
    [
        (
            "at",
            "i8",
        ),  # ROWS: time of the session; MEASURED: values of the distribution before this one; never decreasing
        ("ns", "i8"),  # the latency there, >= the direction's lower bound
    ]
)
_TABLE = np.dtype(
    [
        ("count", "i8"),  # rows
        ("values", "i8"),  # MEASURED: of the distribution, >= 1
        ("rows", DELAY, (MAX_LATENCY_ROWS,)),
    ]
)
DELAYS = np.dtype([("entry", _TABLE), ("response", _TABLE)])  # ringsim.broker.delays makes them

ENTRY, RESPONSE = 1, 2  # directions: streams of the random numbers

_JITTER, _ROWS, _MEASURED, _VOLATILITY = (
    np.int64(m) for m in (LatencyModel.JITTER, LatencyModel.ROWS, LatencyModel.MEASURED, LatencyModel.VOLATILITY)
)
_NEVER = np.int64(NEVER_NS)


@kernel
def session_ns(p, feed_ns, time_ns):
    """A time of the stage's clock as the session's. feed_ns: when the feed began, NEVER_NS: not yet, which is its first time."""
    if feed_ns >= _NEVER:
        return p.first_ns
    return p.first_ns + (time_ns - feed_ns) * p.speed_num // p.speed_den


@kernel
def _row_at(table, value):
    """Index of the last row whose `at` is not above `value`, -1 if there is none: 11 looks at most."""
    low, high = 0, table.count
    while low < high:
        middle = (low + high) >> 1
        if table.rows[middle].at <= value:
            low = middle + 1
        else:
            high = middle
    return low - 1


@kernel
def _between_rows(table, time_ns):
    """The latency at a time, ns: on the straight line between the rows around it, before the first and after the last theirs.

    Cut to whole nanoseconds towards the row before it, in floating point, as hftbacktest's IntpOrderLatency has it; never
    beyond either of the two rows.
    """
    i = _row_at(table, time_ns)
    if i < 0:
        return table.rows[0].ns
    this = table.rows[i]
    if i + 1 == table.count:
        return this.ns
    after = table.rows[i + 1]
    slope = float(after.ns - this.ns) / float(after.at - this.at)
    return this.ns + np.int64(slope * float(time_ns - this.at))


@kernel
def _travel_ns(p, table, cbps, least_ns, width_ns, direction, sent_ns, seq):
    """What the model in force says, ns, >= least_ns. The modulo's bias is below width_ns, or table.values, / 2**63."""
    if p.model == _JITTER and width_ns > 0:
        return least_ns + random_word(p.seed, direction, seq) % (width_ns + 1)
    if p.model == _ROWS:
        return _between_rows(table, sent_ns)
    if p.model == _MEASURED:
        return table.rows[_row_at(table, random_word(p.seed, direction, seq) % table.values)].ns
    if p.model == _VOLATILITY:
        return least_ns + min(cbps * p.ns_per_bps // 100, p.most_ns)
    return least_ns


@kernel
def latency_entry(p, delays, cbps, sent_ns, seq):
    """Time from the strategy's `created_ns` to the exchange, ns.

    p: LATENCY. delays: DELAYS. cbps: see moves_cbps. sent_ns: created_ns, of the session. seq: number of the record on its way.
    """
    return _travel_ns(p, delays.entry, cbps, p.entry_ns, p.entry_jitter_ns, ENTRY, sent_ns, seq)


@kernel
def latency_response(p, delays, cbps, sent_ns, seq):
    """Time from the exchange to the strategy, ns. sent_ns: when it was made, of the session. seq: number of the report."""
    return _travel_ns(p, delays.response, cbps, p.response_ns, p.response_jitter_ns, RESPONSE, sent_ns, seq)


@kernel
def latency_entry_min(p):
    """Lower bound of latency_entry, ns."""
    return p.entry_ns


@kernel
def latency_response_min(p):
    """Lower bound of latency_response, ns."""
    return p.response_ns
