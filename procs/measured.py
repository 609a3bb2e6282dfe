"""The latencies that a finished run recorded, as a latency model draws them: what would a faster stage have earned?

    entry      tick_to_order   arrival of the bytes -> the broker has the order: all that the pipeline takes, in one hop
    response   order_hop       from one process's ring to the other: the way back is such a hop, and has no histogram of its own

Of the hop `exchange` nothing is taken: it is the latency model that the run itself had.
"""

import hashlib
from itertools import pairwise

from procs.folders import state_root
from procs.latencies import NAME, Latencies, read_latencies
from ringsim.broker.delays import Delays, drawn_delays
from ringsim.errors import BadInput
from ringsim.limits import MAX_LATENCY_ROWS
from ringsim.store.errors import StoreError
from ringsim.store.files import read_whole
from ringsim.store.runs import RunIndex
from ringsim.telemetry.histogram import BUCKETS

ENTRY_HOP, RESPONSE_HOP = "tick_to_order", "order_hop"
COUNT_MAX = 1 << 62
assert BUCKETS <= MAX_LATENCY_ROWS  # the whole of a histogram fits


def run_folder(run: str) -> str:
    """The folder of a run that a person names, absolute: `latest` is another one tomorrow. Raises BadInput."""
    try:
        return str(RunIndex(state_root()).resolve(run).folder)
    except StoreError as error:  # what the user gave cannot be used
        raise BadInput(str(error)) from None


def read_measured(run: str) -> Delays:
    """What the run recorded. run: as `run_folder` gives it, or an id.

    Raises BadInput, one line, if there is no such run, or it has no latencies that an order could have.
    """
    try:
        folder = RunIndex(state_root()).resolve(run).folder
        found, data = read_latencies(folder), read_whole(folder / NAME) if (folder / NAME).exists() else b""
    except StoreError as error:
        raise BadInput(str(error)) from None
    if found is None:
        raise BadInput(f"{folder} has recorded no latencies: only a run with the realtime clock does, at its end")
    entry, response = (_values(str(folder), found, name) for name in (ENTRY_HOP, RESPONSE_HOP))
    return drawn_delays(entry, response, str(folder / NAME), len(data), hashlib.sha256(data).hexdigest())


def _values(folder: str, found: Latencies, name: str) -> list[tuple[int, int]]:
    """(ns, how many times) of one hop, ascending; each bucket by its largest value, which is never too low."""
    hop = found.hops.get(name)
    if hop is None or not hop.buckets:
        raise BadInput(f"{folder} has recorded no {name}: it sent no order that a tick caused")
    tops = [top for top, _ in hop.buckets]
    counts = [count for _, count in hop.buckets]
    ascending = all(low < high for low, high in pairwise(tops))
    if not ascending or tops[0] < 0 or min(counts) < 1 or sum(counts) > COUNT_MAX or len(tops) > BUCKETS:
        raise BadInput(f"{folder}/{NAME} is damaged: {name} is no distribution")
    return [(min(top, hop.max_ns), count) for top, count in hop.buckets]
