"""Latency models: how long an order travels to the exchange, and a report back.

    CONSTANT   entry_ns, response_ns
    JITTER     the same plus a uniform 0..jitter_ns, drawn from (seed, direction, number of the record): no hidden state, so
               a redo and another machine draw the same

Every model states a lower bound that no draw goes below: the simulated clock needs it (protocols P4), and there it must
be at least 1 ns. The connection is first in, first out: whoever is faster than the record before it waits for it (the
exchange does that, not the model). More models join by a value of LatencyModel and a branch in `_extra_ns`.
"""

from enum import IntEnum

import numpy as np

from ringsim.draws import random_word
from ringsim.kernel import kernel


class LatencyModel(IntEnum):
    """Values are stored: append, never renumber."""

    CONSTANT = 0
    JITTER = 1


LATENCY = np.dtype(
    [
        ("model", "i8"),
        ("entry_ns", "i8"),
        ("response_ns", "i8"),
        ("entry_jitter_ns", "i8"),
        ("response_jitter_ns", "i8"),
        ("seed", "i8"),
    ]
)

ENTRY, RESPONSE = 1, 2  # directions: streams of the random numbers

_JITTER = np.int64(LatencyModel.JITTER)


@kernel
def _extra_ns(p, width_ns, direction, seq):
    """What the model adds to its lower bound, ns, 0..width_ns. The modulo's bias is below width_ns / 2**63."""
    if p.model == _JITTER and width_ns > 0:
        return random_word(p.seed, direction, seq) % (width_ns + 1)
    return 0


@kernel
def latency_entry(p, seq):
    """Time from the strategy's `created_ns` to the exchange, ns. p: LATENCY. seq: number of the record on its way."""
    return p.entry_ns + _extra_ns(p, p.entry_jitter_ns, ENTRY, seq)


@kernel
def latency_response(p, seq):
    """Time from the exchange to the strategy, ns. seq: number of the report."""
    return p.response_ns + _extra_ns(p, p.response_jitter_ns, RESPONSE, seq)


@kernel
def latency_entry_min(p):
    """Lower bound of latency_entry, ns."""
    return p.entry_ns


@kernel
def latency_response_min(p):
    """Lower bound of latency_response, ns."""
    return p.response_ns
