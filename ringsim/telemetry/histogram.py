"""Latency histograms in the layout of HdrHistogram: fixed memory, about 5 ns a record, 1.6 % resolution.

Values below 64 ns have a bucket each; above, every power of two is cut into 32. Values are int64 ns, clamped to
0..2**40 - 1 (18 minutes); the largest is kept exactly. One writer; readers see counts that may be a moment old.
"""

import numpy as np

from ringsim.bits import highest_bit
from ringsim.kernel import kernel

_SUB_BITS = 5
_LINEAR = 2 << _SUB_BITS
_TOP = 40
BUCKETS = _LINEAR + (_TOP - _SUB_BITS - 1) * (1 << _SUB_BITS)
_MAX = (1 << _TOP) - 1

HISTOGRAM = np.dtype([("n", "i8"), ("total_ns", "i8"), ("max_ns", "i8"), ("spare", "i8"), ("counts", "i8", (BUCKETS,))])

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999}


@kernel
def bucket_of(value_ns):
    """Index of a value's bucket. value_ns: 0..2**40 - 1."""
    if value_ns < _LINEAR:
        return value_ns
    shift = highest_bit(value_ns) - _SUB_BITS
    return (shift << _SUB_BITS) + (value_ns >> shift)


@kernel
def observe(h, value_ns):
    """Count one value; negative ones count as 0."""
    value = min(max(value_ns, 0), _MAX)
    h.counts[bucket_of(value)] += 1
    h.n += 1
    h.total_ns += value
    if value > h.max_ns:
        h.max_ns = value


def bucket_top(index: int) -> int:
    """Largest value of a bucket, ns: what a percentile in it is reported as, so never too low."""
    if index < _LINEAR:
        return index
    shift = (index >> _SUB_BITS) - 1
    return (((index & ((1 << _SUB_BITS) - 1)) + (1 << _SUB_BITS) + 1) << shift) - 1


def percentile_ns(h: np.record, share: float) -> int:
    """Smallest bucket top with at least `share` (0..1] of the values at or below it; 0 when empty. Never above the maximum."""
    counts = np.asarray(h.counts)
    total = int(counts.sum())
    if total == 0:
        return 0
    rank = max(1, int(np.ceil(share * total)))
    index = int(np.searchsorted(np.cumsum(counts), rank))
    return min(bucket_top(index), int(h.max_ns))


def filled_buckets(h: np.record) -> list[tuple[int, int]]:
    """(largest value of the bucket in ns, values in it) of each bucket that holds any, ascending: the whole distribution."""
    counts = np.asarray(h.counts)
    return [(bucket_top(k), int(counts[k])) for k in np.flatnonzero(counts).tolist()]


def summarize_us(h: np.record) -> dict[str, float]:
    """n, the percentiles, mean and max, in microseconds."""
    n = int(h.n)
    found: dict[str, float] = {"n": n}
    for name, share in PERCENTILES.items():
        found[name] = percentile_ns(h, share) / 1000
    found["mean"] = round(int(h.total_ns) / n / 1000, 3) if n else 0.0
    found["max"] = int(h.max_ns) / 1000
    return found
