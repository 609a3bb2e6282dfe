"""Event files for tests: rows that overtake each other on their way to the receiver."""

import numpy as np

from ringsim.market import eventfile as f

BOTH = f.EXCH | f.LOCAL


def apart(data, seed):
    """The same market with a latency drawn for each message: rows that overtake others come once for each viewer."""
    rng = np.random.default_rng(seed)
    changed = np.flatnonzero(np.diff(data["exch_ts"], prepend=data["exch_ts"][0] - 1) != 0)
    latency = np.repeat(rng.integers(1_000, 40_000_000, len(changed)), np.diff(changed, append=len(data)))
    data = data.copy()
    data["local_ts"] = data["exch_ts"] + latency
    by_local = np.argsort(data["local_ts"], kind="stable")
    kind = np.uint64((1 << 64) - 1 - BOTH)
    found, e, k = [], 0, 0
    while e < len(data) or k < len(data):  # what hftbacktest's correct_event_order does
        one, other = (data[e] if e < len(data) else None), (data[by_local[k]] if k < len(data) else None)
        if one is not None and other is not None and by_local[k] == e:
            found.append((one, f.EXCH | f.LOCAL))
            e, k = e + 1, k + 1
        elif other is None or (one is not None and one["exch_ts"] <= other["exch_ts"]):
            found.append((one, f.EXCH))
            e += 1
        else:
            found.append((other, f.LOCAL))
            k += 1
    result = np.array([record for record, _ in found])
    result["ev"] = (result["ev"] & kind) | np.array([word for _, word in found], np.uint64)
    return result
