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
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_STEP, _MIX1, _MIX2 = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SHIFT1, _SHIFT2, _SHIFT3 = np.uint64(30), np.uint64(27), np.uint64(31)
_TOP = np.uint64(1)


@kernel
def _add(a, b):
    """(a + b) mod 2**64 of uint64, by halves: the plain body would warn of an overflow that is meant."""
    low = (a & _LOW) + (b & _LOW)
    high = ((a >> _HALF) + (b >> _HALF) + (low >> _HALF)) & _LOW
    return (high << _HALF) | (low & _LOW)


@kernel
def _multiply(a, b):
    """(a * b) mod 2**64 of uint64, by halves."""
    low = (a & _LOW) * (b & _LOW)
    cross = (((a >> _HALF) * (b & _LOW)) & _LOW) + (((a & _LOW) * (b >> _HALF)) & _LOW)
    high = ((low >> _HALF) + cross) & _LOW
    return (high << _HALF) | (low & _LOW)


@kernel
def _mix(z):
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    z = _multiply(z ^ (z >> _SHIFT1), _MIX1)
    z = _multiply(z ^ (z >> _SHIFT2), _MIX2)
    return z ^ (z >> _SHIFT3)


@kernel
def random_word(seed, stream, seq):
    """A random int64 >= 0 that depends on nothing but its arguments, int64 >= 0 each."""
    z = _mix(_add(np.uint64(seed), _STEP))
    z = _mix(_add(z, _multiply(np.uint64(stream), _STEP)))
    z = _mix(_add(z, _multiply(np.uint64(seq), _STEP)))
    return np.int64(z >> _TOP)


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
